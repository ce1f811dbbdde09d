"""Packet filter rules: allow the pods' traffic, and afterwards remove the chains that the cluster left."""

import shutil
from collections.abc import Collection, Iterator
from typing import Final

from tests.cluster.addresses import CLUSTER_CIDR
from tests.cluster.commands import run

__all__ = ["allow_pods", "read_chains", "removal_script", "remove_chains"]

FAMILIES: Final = ("iptables", "ip6tables")
OURS: Final = "MESHTWIN-"
PREFIXES: Final = (OURS, "KUBE-", "CNI-")  # we ourselves, kube-proxy and kubelet, the CNI plugins

POD_RULES: Final = f"""\
*filter
:{OURS}FORWARD - [0:0]
-I FORWARD -j {OURS}FORWARD
-A {OURS}FORWARD -s {CLUSTER_CIDR} -j ACCEPT
-A {OURS}FORWARD -d {CLUSTER_CIDR} -j ACCEPT
COMMIT
*nat
:{OURS}POSTROUTING - [0:0]
-I POSTROUTING -j {OURS}POSTROUTING
-A {OURS}POSTROUTING -s {CLUSTER_CIDR} ! -d {CLUSTER_CIDR} -j MASQUERADE
COMMIT
"""


def allow_pods() -> None:
    """Let pods talk to each other and out, also where Docker set the policy of FORWARD to DROP."""
    run(["iptables-restore", "--noflush"], text_in=POD_RULES)


def read_chains() -> list[str]:
    """Chains with our prefixes as "iptables nat KUBE-X": what is there before `up` is not ours to remove."""
    return [
        f"{family} {table} {chain}"
        for family in _families()
        for table, chain, _ in _iter_lines(run([f"{family}-save"]))
        if chain.startswith(PREFIXES)
    ]


def remove_chains(keep: Collection[str]) -> None:
    """Remove the chains with our prefixes that are not in ``keep``, and every rule that leads into one."""
    for family in _families():
        kept = {" ".join(name.split(" ")[1:]) for name in keep if name.startswith(f"{family} ")}
        script = removal_script(run([f"{family}-save"]), kept)
        if script:
            run([f"{family}-restore", "--noflush"], text_in=script)


def removal_script(saved: str, keep: Collection[str]) -> str:
    """What ``iptables-restore --noflush`` has to read so that the cluster's chains are gone.

    ``saved`` is the output of ``iptables-save``; ``keep`` has "TABLE CHAIN" of those that stay.

    >>> print(removal_script("*nat\\n:INPUT ACCEPT [0:0]\\n:KUBE-X - [0:0]\\n-A INPUT -j KUBE-X\\nCOMMIT\\n", ()))
    *nat
    :KUBE-X - [0:0]
    -D INPUT -j KUBE-X
    -X KUBE-X
    COMMIT
    """
    lines = list(_iter_lines(saved))
    doomed = [
        (table, chain)
        for table, chain, rule in lines
        if rule is None and chain.startswith(PREFIXES) and f"{table} {chain}" not in keep
    ]
    script: list[str] = []
    for table in dict.fromkeys(table for table, _ in doomed):
        chains = [chain for there, chain in doomed if there == table]
        script += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]  # flushes them too
        script += [
            f"-D {chain} {rule}"
            for there, chain, rule in lines
            if there == table and rule is not None and chain not in chains and _target(rule) in chains
        ]
        script += [*(f"-X {chain}" for chain in chains), "COMMIT"]
    return "\n".join(script)


def _iter_lines(saved: str) -> Iterator[tuple[str, str, str | None]]:
    """(table, chain, None) for each chain and (table, chain, rule) for each rule of ``iptables-save``."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            yield table, line[1:].split(" ", 1)[0], None
        elif line.startswith("-A "):
            chain, _, rule = line[3:].partition(" ")
            yield table, chain, rule


def _target(rule: str) -> str:
    words = rule.split(" ")
    jumps = [words[i + 1] for i, word in enumerate(words[:-1]) if word in {"-j", "-g"}]
    return jumps[-1] if jumps else ""


def _families() -> list[str]:
    return [family for family in FAMILIES if shutil.which(f"{family}-save") is not None]
