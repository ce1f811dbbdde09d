"""The packet simulator: what a Bluetooth Mesh network would do with given settings, message by message.

Enter by `meshtwin.sim.engine.simulate`, `meshtwin.sim.from_snapshot.scenario_from_snapshot` and
`meshtwin.sim.results.summarise`; scenario files by `meshtwin.sim.scenario_file`.

Law: a run is a pure function of (scenario, seed, replication). Time is an integer in nanoseconds. Every draw
is keyed by what it decides (purpose, nodes, message, copy) and never by a setting, so that two configurations
meet the same luck. Preset states (`meshtwin.sim.states`) take the place of draws where they are given, and are
keyed likewise. Rules of one node live in `elements`, what becomes of a PDU at its receivers in `fates`, constants of
one implementation in `profiles`; the processes of `reference` and `exchange` only wait and call. simpy is known to
`timeline` alone. No clock, no files but in `scenario_file`, no processes of the operating system: who wants several
cores starts workers above this floor.
"""
