"""The doctor's checks, each a small function `(App) -> Finding`.

base          what a check is given and gives
platforms     what each platform demands, and its classic failures by name
processes     Procfile, entry point, the platform's own file
packages      Python version, pins, interpreters, lock files
files         virtual environments, secrets, deprecated files, weight
settings      what the settings say before anything runs
deployed      a model in the folder: does it go with it
server        what a real start shows: boot, binding, model, memory, time, stop
"""
