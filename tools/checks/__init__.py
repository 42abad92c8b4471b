"""The doctor's checks, each a small function `(App) -> Finding`.

base          what a check is given and gives
platforms     what each platform demands, and its classic failures by name
declared      the platform's own file: its settings and limits
dockerfile    what a Dockerfile makes
commands      the command that the platform starts, and its entry point
platform_files  the platform's own file says what it must
packages      Python version, pins, interpreters, lock files
files         virtual environments, deprecated files, weight
credentials   keys, tokens and passwords
settings      what the settings say before anything runs
deployed      what the app needs of the folder: does it go with it
server        what a real start shows: boot, binding, model, memory, time, stop
"""
