"""What in an ECG a finding rests on: waves and intervals."""
