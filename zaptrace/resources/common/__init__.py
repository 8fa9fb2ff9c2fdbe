"""What several rooms need; no room knows another, all may use these."""
