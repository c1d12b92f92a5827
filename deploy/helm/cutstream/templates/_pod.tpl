{{/* The parts of a pod's spec that all components share. Call with (list $ "worker"). */}}
{{- define "cutstream.podSpec" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- $own := index $root.Values $component -}}
serviceAccountName: {{ include "cutstream.serviceAccount" $root }}
automountServiceAccountToken: false
# A Service named cutstream-… would become a variable CUTSTREAM_…, which the processes refuse as an unknown setting.
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with include "cutstream.priorityClass" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    # Not DoNotSchedule: an uneven spread is better than a pod that waits for a node.
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cutstream.selector" (list $root $component) | nindent 8 }}
    matchLabelKeys: [{{ eq $component "gateway" | ternary "controller-revision-hash" "pod-template-hash" }}]
  {{- end }}
{{- end -}}

{{- define "cutstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The user of this project's images. NVIDIA's runs as any. */}}
{{- define "cutstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* An annotation that changes with the settings, so that pods are replaced when they change. */}}
{{- define "cutstream.checksum" -}}
checksum/settings: {{ include (print .Template.BasePath "/settings.yaml") . | sha256sum }}
{{- end -}}

{{/* The variables of the processes of this project whose values are secrets. */}}
{{- define "cutstream.secretVariables" -}}
{{- $kafka := .Values.kafka -}}{{- $store := .Values.objectStore -}}
{{- with $kafka.saslSecret }}{{- if .name }}
- name: CUTSTREAM_KAFKA__SASL_USERNAME
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .usernameKey }}}
- name: CUTSTREAM_KAFKA__SASL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .passwordKey }}}
{{- end }}{{- end }}
{{- with $store.credentialsSecret }}{{- if .name }}
- name: CUTSTREAM_OBJECTS__S3_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .accessKeyIdKey }}}
- name: CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .secretAccessKeyKey }}}
{{- end }}{{- end }}
{{- end -}}

{{/* What cutstream-triton-cpu reads: which models, and where their repository is written and served from. */}}
{{- define "cutstream.modelVariables" -}}
- name: CUTSTREAM_STACK__STATE
  value: /models
- name: CUTSTREAM_MODELS__STORE
  value: /models/weights
- name: CUTSTREAM_MODELS__PROFILES
  value: {{ join "," .Values.models.profiles | quote }}
- name: CUTSTREAM_MODELS__ENGINE
  value: {{ .Values.models.engine }}
{{- end -}}

{{/* The token of /metrics. Call with (list $ "WORKER"), the section of the settings. */}}
{{- define "cutstream.tokenVariable" -}}
{{- with (index . 0).Values.monitoring.tokenSecret }}{{- if .name }}
- name: CUTSTREAM_{{ index $ 1 }}__METRICS_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key }}}
{{- end }}{{- end }}
{{- end -}}

{{/* Certificates for Kafka. A renewed one appears in the file, and the next connection uses it. */}}
{{- define "cutstream.certificateVolumes" -}}
{{- with .Values.kafka.caSecret }}{{- if .name }}
- name: kafka-ca
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key }}, path: ca.crt}]
{{- end }}{{- end }}
{{- with .Values.kafka.clientCertificateSecret }}{{- if .name }}
- name: kafka-client
  secret:
    secretName: {{ .name }}
    # The pod's group reads it: the files belong to root.
    defaultMode: 0440
    items: [{key: {{ .certificateKey }}, path: client.crt}, {key: {{ .keyKey }}, path: client.key}]
{{- end }}{{- end }}
{{- end -}}

{{- define "cutstream.certificateMounts" -}}
{{- if .Values.kafka.caSecret.name }}
- name: kafka-ca
  mountPath: /etc/cutstream/kafka-ca
  readOnly: true
{{- end }}
{{- if .Values.kafka.clientCertificateSecret.name }}
- name: kafka-client
  mountPath: /etc/cutstream/kafka-client
  readOnly: true
{{- end }}
{{- end -}}
