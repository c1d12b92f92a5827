{{/* The release's name for everything: at most 50 characters, so that suffixes fit into 63. */}}
{{- define "cutstream.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selectors use: it must never change while a release lives. Call with (list $ "worker"). */}}
{{- define "cutstream.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "cutstream.labels" -}}
{{- $root := index . 0 -}}
{{ include "cutstream.selector" . }}
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cutstream
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels of pods: without the chart's version, so that a new chart alone replaces no pod. */}}
{{- define "cutstream.podLabels" -}}
{{ include "cutstream.selector" . }}
app.kubernetes.io/part-of: cutstream
{{- end -}}

{{/* The full name of one of our images. Call with (list $ "cutstream-worker"). */}}
{{- define "cutstream.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- define "cutstream.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "cutstream.fullname" .) "default") -}}
{{- end -}}

{{/* Classes belong to the whole cluster, so their names have the namespace. */}}
{{- define "cutstream.ownPriorityClass" -}}
{{- printf "%s-%s-%s" (index . 0).Release.Namespace (include "cutstream.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/* The priority class of a component: the named one, or the one that this chart makes. */}}
{{- define "cutstream.priorityClass" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- $named := (index $root.Values $component).priorityClassName -}}
{{- $named | default ($root.Values.priorityClasses.create | ternary (include "cutstream.ownPriorityClass" .) "") -}}
{{- end -}}

{{- define "cutstream.tritonAddress" -}}
{{- .Values.triton.enabled | ternary (printf "%s-triton:8001" (include "cutstream.fullname" .)) .Values.triton.address -}}
{{- end -}}
