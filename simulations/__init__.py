"""The second shell: a trace or a snapshot in, what would have happened out, by the code that schedules.

``workload`` and ``loads`` read or make jobs, ``nodes`` the cluster; ``engine`` moves virtual time,
``virtual`` answers as an API server and its kubelets would, ``shell`` drives ``scheduler.cycles`` and the
gang machine as ``scheduler.live`` does. No flag of a simulation exists below this package.
"""
