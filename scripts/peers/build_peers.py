#!/usr/bin/env python3
"""Builds what the races need and is not there yet, in a folder outside the project.

    build_peers.py [--work DIR]

From PyPI, by name: the sources of llama-cpp-python (which carry llama.cpp's) and the package rwkv.  PyTorch is Debian's
(`apt-get install python3-torch libopenblas0-pthread`; without OpenBLAS its products run at a twentieth of the speed):
PyPI's wheels for x86-64 Linux are CUDA builds.  rwkv.cpp is cloned from GitHub with its ggml, unless DIR has rwkv.cpp.  Run it with the Python that has
torch and numpy.  Nothing of the peers' code becomes part of the project.
"""
import argparse
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VOCABULARY = "data/tokenizers/rwkv_vocab_v20230424.txt"
TEXTS = "data/uncheatable/uncheatable_2026-04_sample20"
LLAMA_TYPES = ("f32", "bf16", "q8_0")
RWKVCPP_TYPES = ("FP16", "FP32")
JOBS = ["-j", str(os.cpu_count())]


def shared_folder():
    return os.environ.get("DECIBAN_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **rest):
    say("+ " + " ".join(command))
    subprocess.run(command, check=True, stdout=sys.stderr, **rest)


class Peers:
    """Paths of everything built; each method builds one thing if it is missing."""

    def __init__(self, work):
        self.work = os.path.abspath(work)
        os.makedirs(os.path.join(self.work, "models"), exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def pip(self, *arguments):
        if not os.path.exists(self.path("venv", "bin", "pip")):
            run(sys.executable, "-m", "venv", self.path("venv"))
        run(self.path("venv", "bin", "pip"), "--quiet", *arguments)

    def llama_source(self):
        """The folder of llama.cpp's sources."""
        found = [name for name in os.listdir(self.work) if name.startswith("llama_cpp_python-")]
        archives = sorted(name for name in found if name.endswith(".tar.gz"))
        if not archives:
            self.pip("download", "--no-deps", "--no-binary", "llama-cpp-python", "-d", self.work, "llama-cpp-python")
            return self.llama_source()
        folder = archives[-1].removesuffix(".tar.gz")
        if not os.path.isdir(self.path(folder)):
            shutil.unpack_archive(self.path(archives[-1]), self.work)
        return self.path(folder, "vendor", "llama.cpp")

    def llama(self, isa):
        """The driver of llama.cpp built for `isa` (native or avx2)."""
        build = self.path("llama-" + isa)
        program = os.path.join(build, "bin", "llama_score")
        if not os.path.exists(program):
            launchers = []
            if shutil.which("ccache"):
                launchers = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
            run("cmake", "-G", "Ninja", "-S", os.path.join(HERE, "llama"), "-B", build, f"-DPEER_ISA={isa}",
                f"-DLLAMA_SOURCE={self.llama_source()}", *launchers)
            run("ninja", "-C", build, *JOBS, "llama_score")
        return program

    def llama_version(self):
        """"none" where no race has needed it yet."""
        return next((name.removesuffix(".tar.gz") for name in sorted(os.listdir(self.work), reverse=True)
                     if name.startswith("llama_cpp_python-") and name.endswith(".tar.gz")), "none")

    def rwkvcpp_source(self):
        folder = self.path("rwkv.cpp")
        if not os.path.isdir(folder):
            run("git", "clone", "--quiet", "--recursive", "https://github.com/RWKV/rwkv.cpp", folder)
        return folder

    def rwkvcpp(self):
        """The driver of rwkv.cpp."""
        build = self.path("rwkvcpp")
        program = os.path.join(build, "bin", "rwkvcpp_score")
        if not os.path.exists(program):
            run("cmake", "-G", "Ninja", "-S", os.path.join(HERE, "rwkvcpp"), "-B", build,
                f"-DRWKV_SOURCE={self.rwkvcpp_source()}")
            run("ninja", "-C", build, *JOBS, "rwkvcpp_score")
        return program

    def rwkv_package(self):
        """The folder to put on PYTHONPATH."""
        folder = self.path("pylib")
        if not os.path.isdir(os.path.join(folder, "rwkv")):
            self.pip("install", "--no-deps", "--target", folder, "rwkv")
        return folder

    def model(self, shape, kind):
        """A model of random weights: kind is pth, rwkv.cpp's FP16 or FP32, or one of LLAMA_TYPES."""
        name = f"{shape}-{kind}.bin" if kind in RWKVCPP_TYPES else f"{shape}.pth" if kind == "pth" else f"{shape}-{kind}.gguf"
        path = self.path("models", name)
        if not os.path.exists(path):
            if kind in RWKVCPP_TYPES:
                run(sys.executable, os.path.join(self.rwkvcpp_source(), "python", "convert_pytorch_to_ggml.py"),
                    self.model(shape, "pth"), path + ".part", kind)
            elif kind == "pth":
                run(sys.executable, os.path.join(HERE, "make_pth.py"), shape, path + ".part")
            else:
                run(sys.executable, os.path.join(HERE, "make_gguf.py"), shape, path + ".part", "--type", kind,
                    "--vocabulary", os.path.join(shared_folder(), VOCABULARY))
            os.rename(path + ".part", path)
        return path

    def documents(self):
        """Token ids (World) of the uncheatable sample, one document a line."""
        return self.tokens("documents.txt", "world", os.path.join(shared_folder(), VOCABULARY),
                           os.path.join(shared_folder(), TEXTS))

    def random_ids(self):
        """Token ids valid for every model here, one line."""
        return self.tokens("random.txt", "random", "50277")

    def tokens(self, name, *arguments):
        path = self.path("models", name)
        if not os.path.exists(path):
            run(sys.executable, os.path.join(HERE, "make_tokens.py"), *arguments, path + ".part")
            os.rename(path + ".part", path)
        return path

    def deciban(self, libraries):
        """deciban's driver, linked to the engine in `libraries`; rebuilt when the engine is newer."""
        program = self.path("deciban_score")
        engine = os.path.join(libraries, "libdeciban_engine.so")
        if not os.path.exists(engine):
            raise SystemExit(f"{engine} is missing: build deciban first (cmake --preset release; cmake --build --preset release)")
        if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(engine):
            run("g++", "-std=c++20", "-O2", "-I", ROOT, os.path.join(HERE, "deciban_score.cc"), "-o", program,
                "-L", libraries, "-ldeciban_engine", f"-Wl,-rpath,{libraries}")
        return program


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="/tmp/deciban-peers")
    peers = Peers(parser.parse_args().work)
    for kind in LLAMA_TYPES + ("pth",):
        peers.model("rwkv7-0.1b", kind)
    for kind in ("pth", "FP16"):
        peers.model("rwkv4-169m", kind)
    peers.documents()
    peers.random_ids()
    peers.rwkv_package()
    for isa in ("native", "avx2"):
        peers.llama(isa)
    peers.rwkvcpp()


if __name__ == "__main__":
    main()
