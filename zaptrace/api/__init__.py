"""What `import zaptrace` gives: the verbs as functions, and a pod as an object."""
