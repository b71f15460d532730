"""Which policy acts: the gate's admissions, a learner's bundles, trials, the way back."""
