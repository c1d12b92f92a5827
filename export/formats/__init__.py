"""Graphs and plans in other precisions, and the checks that their mattes stay close to fp32."""
