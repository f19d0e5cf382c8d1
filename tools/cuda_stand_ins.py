"""Puts empty libraries where torch from PyPI wants CUDA's, so that it loads on a machine that computes on its CPU.

The loader insists that each library torch is linked against exists and defines what torch imports from it, in the
version torch names. A CPU never calls any of it. This reads the needs out of torch's own files and builds libraries
that define just those names; a call to one of them ends the process with an illegal instruction.
"""

import collections
import importlib.util
import pathlib
import re
import subprocess
import tempfile

# Loaded by `import torch`, each linked against CUDA.
TORCH_LIBRARIES = ["libtorch_cuda.so", "libtorch_python.so", "libtorch_nvshmem.so", "libtorch_cpu.so", "libc10_cuda.so"]
# Found elsewhere: torch's own, the system's, the driver's, and the CUDA libraries that are installed.
LEFT_ALONE = re.compile(r"lib(torch\w*|c10\w*|shm|caffe2\w*|gomp|stdc\+\+|gcc_s|c|m|dl|rt|pthread|cuda|cudart|cupti)\.so")
# Imported without a version, so that only the name tells that it is CUDA's.
UNVERSIONED = re.compile(r"(cudnn|nccl|nvshmem|cusparseLt|cuFile|nvrtc|cufft|curand|cublas|cusparse)[A-Z_]")

Symbols = dict[str, list[str]]  # by version; the version "" is none


def output_of(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def library_of_versions(library: pathlib.Path) -> dict[str, str]:
    """Returns which library each symbol version that `library` imports comes from."""
    origin: dict[str, str] = {}
    needed = ""
    for line in output_of("readelf", "--version-info", "--wide", str(library)):
        if found := re.search(r"\bFile: (\S+)", line):
            needed = found[1]
        elif needed and (found := re.search(r"\bName: (\S+)", line)):
            origin[found[1]] = needed
    return origin


def find_needs(folder: pathlib.Path) -> dict[str, Symbols]:
    """Returns, by library that a stand-in is needed for, what torch imports from it."""
    needs: dict[str, Symbols] = {}
    versions: dict[str, str] = {}
    imports: set[str] = set()
    for name in TORCH_LIBRARIES:
        library = folder / name
        for line in output_of("readelf", "--dynamic", "--wide", str(library)):
            found = re.search(r"\(NEEDED\).*\[(.+)\]", line)
            if found and not LEFT_ALONE.match(found[1]) and not found[1].startswith("ld-"):
                needs.setdefault(found[1], collections.defaultdict(list))
        versions |= library_of_versions(library)
        imports |= {line.split()[-1] for line in output_of("nm", "--dynamic", "--undefined-only", str(library))}
    home_of_unversioned = min(needs)
    for imported in sorted(imports):
        symbol, _, version = imported.partition("@")
        if not version and UNVERSIONED.match(symbol):
            needs[home_of_unversioned][""].append(symbol)
        elif versions.get(version) in needs:
            needs[versions[version]][version].append(symbol)
    return needs


def build(library: pathlib.Path, symbols: Symbols) -> None:
    names = [name for group in symbols.values() for name in group]
    assembly = "".join(f".globl {name}\n.type {name}, %function\n{name}:\n" for name in names)
    versions = "".join(
        f"{version} {{ global: {' '.join(name + ';' for name in group)} }};\n"
        for version, group in symbols.items()
        if version
    )
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch, "stand_in.s")
        source.write_text(f'.text\n{assembly}ud2\n.section .note.GNU-stack, "", %progbits\n')
        command = ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{library.name}", "-o", str(library), str(source)]
        if versions:
            script = pathlib.Path(scratch, "versions")
            script.write_text(versions)
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)


def main() -> None:
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise SystemExit("cuda_stand_ins: torch is not installed here")
    # Last in the libraries' search path: a real CUDA library, where installed, wins.
    folder = pathlib.Path(torch.origin).parent / "lib"
    for name, symbols in find_needs(folder).items():
        build(folder / name, symbols)
        print(f"{name}: {sum(map(len, symbols.values()))} names")


if __name__ == "__main__":
    main()
