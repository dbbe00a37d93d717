// The machine: seeds and generators, threads, devices, versions.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <sys/file.h>
#include <torch/version.h>

#include <cerrno>
#include <cmath>

#include "engine.hpp"
#include "isa.hpp"

namespace mahalo {
namespace {

napi_value manualSeed(napi_env env, napi_callback_info info) {
  return guarded(env, "manualSeed", [&]() -> napi_value {
    Arguments args(env, info);
    at::manual_seed(readSeed(env, args[0]));
    return nullptr;
  });
}

napi_value createGenerator(napi_env env, napi_callback_info info) {
  return guarded(env, "createGenerator", [&]() -> napi_value {
    Arguments args(env, info);
    const auto seed = readSeed(env, args[0]);
    const c10::Device device(readText(env, args[1], "a device name"));
    auto generator = device.is_cpu() ? at::detail::createCPUGenerator(seed) : at::globalContext().defaultGenerator(device).clone();
    generator.set_current_seed(seed);
    return number(env, engineOf(env).generators.put(std::move(generator)));
  });
}

napi_value freeGenerator(napi_env env, napi_callback_info info) {
  return guarded(env, "freeGenerator", [&]() -> napi_value {
    Arguments args(env, info);
    engineOf(env).generators.drop(readNumber(env, args[0], "a generator"));
    return nullptr;
  });
}

napi_value generatorState(napi_env env, napi_callback_info info) {
  return guarded(env, "generatorState", [&]() -> napi_value {
    Arguments args(env, info);
    return tensorNumber(env, engineOf(env).generators.get(readNumber(env, args[0], "a generator"), "generator").get_state());
  });
}

napi_value setGeneratorState(napi_env env, napi_callback_info info) {
  return guarded(env, "setGeneratorState", [&]() -> napi_value {
    Arguments args(env, info);
    auto& engine = engineOf(env);
    engine.generators.get(readNumber(env, args[0], "a generator"), "generator")
        .set_state(engine.tensors.get(readNumber(env, args[1], "a tensor"), "tensor"));
    return nullptr;
  });
}

napi_value setThreads(napi_env env, napi_callback_info info) {
  return guarded(env, "setThreads", [&]() -> napi_value {
    Arguments args(env, info);
    const auto threads = readNumber(env, args[0], "a number of threads");
    if (!(threads >= 1 && threads <= 4096) || threads != std::floor(threads)) {
      throw BadArgument("expected a whole number from 1 to 4096");
    }
    at::set_num_threads(static_cast<int>(threads));
    return nullptr;
  });
}

napi_value threads(napi_env env, napi_callback_info) { return number(env, at::get_num_threads()); }

napi_value version(napi_env env, napi_callback_info) { return text(env, TORCH_VERSION); }

napi_value config(napi_env env, napi_callback_info) { return text(env, at::show_config() + at::get_parallel_info()); }

/// instructionSets(): the one that our kernels use, and the best that the processor has.
napi_value instructionSets(napi_env env, napi_callback_info) {
  return guarded(env, "instructionSets", [&]() -> napi_value {
    napi_value list;
    napi_create_array_with_length(env, 2, &list);
    napi_set_element(env, list, 0, text(env, isaName(isa())));
    napi_set_element(env, list, 1, text(env, isaName(bestIsa())));
    return list;
  });
}

/// loadLibrary(path): libtorch's CUDA half registers its kernels when loaded.
napi_value loadLibrary(napi_env env, napi_callback_info info) {
  return guarded(env, "loadLibrary", [&]() -> napi_value {
    Arguments args(env, info);
    const auto path = readText(env, args[0], "a path");
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw BadArgument(dlerror());
    return nullptr;
  });
}

/// lockFile(fd): locks an open file for this process alone without waiting; 0, or the system's error number. The kernel
/// gives the lock back when the file is closed, however the process ends.
napi_value lockFile(napi_env env, napi_callback_info info) {
  return guarded(env, "lockFile", [&]() -> napi_value {
    Arguments args(env, info);
    const auto fd = static_cast<int>(readInt(env, args[0], "an open file's number"));
    int status = 0;
    do {
      status = flock(fd, LOCK_EX | LOCK_NB);
    } while (status != 0 && errno == EINTR);
    return number(env, status == 0 ? 0 : errno);
  });
}

napi_value hasCuda(napi_env env, napi_callback_info) {
  return guarded(env, "hasCuda", [&]() -> napi_value { return boolean(env, at::globalContext().hasCUDA()); });
}

}  // namespace

void defineRuntime(napi_env env, napi_value exports) {
  define(env, exports, "manualSeed", manualSeed);
  define(env, exports, "createGenerator", createGenerator);
  define(env, exports, "freeGenerator", freeGenerator);
  define(env, exports, "generatorState", generatorState);
  define(env, exports, "setGeneratorState", setGeneratorState);
  define(env, exports, "setThreads", setThreads);
  define(env, exports, "threads", threads);
  define(env, exports, "version", version);
  define(env, exports, "config", config);
  define(env, exports, "instructionSets", instructionSets);
  define(env, exports, "loadLibrary", loadLibrary);
  define(env, exports, "lockFile", lockFile);
  define(env, exports, "hasCuda", hasCuda);
}

}  // namespace mahalo
