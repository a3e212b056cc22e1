"""The methods: what is computed of the evidence, one package a concept; no task, no output directory."""
