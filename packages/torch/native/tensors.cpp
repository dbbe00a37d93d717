// Tensors as JavaScript sees them: their properties, typed-array contents and release.
#include <cmath>
#include <cstring>
#include <sstream>

#include "engine.hpp"

namespace mahalo {
namespace {

at::Tensor& tensorAt(napi_env env, const Arguments& args, size_t i) {
  return engineOf(env).tensors.get(readNumber(env, args[i], "a tensor"), "tensor");
}

/// Bytes that a shape takes; computed before memory is asked for, so that a wrong shape is named as such.
double bytesOf(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  double bytes = static_cast<double>(c10::elementSize(dtype));
  for (const int64_t size : shape) {
    if (size < 0) throw BadArgument("a size is negative: " + std::to_string(size));
    bytes *= static_cast<double>(size);
  }
  return bytes;
}

/// fromBytes(typed array, dtype, shape): a copy of the array's bytes as a CPU tensor.
napi_value fromBytes(napi_env env, napi_callback_info info) {
  return guarded(env, "fromBytes", [&]() -> napi_value {
    Arguments args(env, info);
    const auto dtype = readDtype(env, args[1]);
    const auto shape = readInts(env, args[2], "a shape");
    const double wanted = bytesOf(shape, dtype);
    const Bytes bytes = readBytes(env, args[0]);
    if (wanted != static_cast<double>(bytes.size)) {
      std::ostringstream message;
      message << bytes.size << " bytes do not fill " << dtypeName(dtype) << c10::IntArrayRef(shape) << " (" << wanted << " bytes)";
      throw BadArgument(message.str());
    }
    auto tensor = at::empty(shape, at::TensorOptions().dtype(dtype));
    if (bytes.size > 0) std::memcpy(tensor.mutable_data_ptr(), bytes.data, bytes.size);
    // Kernels rely on a boolean being 0 or 1; another byte would be undefined behaviour.
    if (dtype == at::kBool) return tensorNumber(env, tensor.view(at::kByte).ne(0));
    return tensorNumber(env, std::move(tensor));
  });
}

/// toBytes(tensor, typed array): copies the contents, in row-major order, into an array of just that size.
napi_value toBytes(napi_env env, napi_callback_info info) {
  return guarded(env, "toBytes", [&]() -> napi_value {
    Arguments args(env, info);
    const auto tensor = tensorAt(env, args, 0).detach().to(at::kCPU).contiguous();
    const Bytes bytes = readBytes(env, args[1]);
    if (bytes.size != tensor.nbytes()) throw BadArgument("the array's size differs from the tensor's");
    if (bytes.size > 0) std::memcpy(bytes.data, tensor.const_data_ptr(), bytes.size);
    return nullptr;
  });
}

/// describe(tensor) -> [dtype, device, requiresGrad, isLeaf, bytes, ...sizes]
napi_value describe(napi_env env, napi_callback_info info) {
  return guarded(env, "describe", [&]() -> napi_value {
    Arguments args(env, info);
    const auto& tensor = tensorAt(env, args, 0);
    napi_value result;
    napi_create_array_with_length(env, 5 + tensor.dim(), &result);
    napi_set_element(env, result, 0, text(env, dtypeName(tensor.scalar_type())));
    napi_set_element(env, result, 1, text(env, tensor.device().str()));
    napi_set_element(env, result, 2, boolean(env, tensor.requires_grad()));
    napi_set_element(env, result, 3, boolean(env, tensor.is_leaf()));
    napi_set_element(env, result, 4, number(env, static_cast<double>(tensor.has_storage() ? tensor.storage().nbytes() : 0)));
    for (int64_t i = 0; i < tensor.dim(); ++i) {
      napi_set_element(env, result, 5 + i, number(env, static_cast<double>(tensor.size(i))));
    }
    return result;
  });
}

/// storageId(tensor) -> a number equal for tensors that share memory; 0 for one without memory of its own.
napi_value storageId(napi_env env, napi_callback_info info) {
  return guarded(env, "storageId", [&]() -> napi_value {
    Arguments args(env, info);
    const auto& tensor = tensorAt(env, args, 0);
    const auto* storage = tensor.has_storage() ? tensor.storage().unsafeGetStorageImpl() : nullptr;
    return number(env, static_cast<double>(reinterpret_cast<uintptr_t>(storage)));
  });
}

napi_value isContiguous(napi_env env, napi_callback_info info) {
  return guarded(env, "isContiguous", [&]() -> napi_value {
    Arguments args(env, info);
    return boolean(env, tensorAt(env, args, 0).is_contiguous());
  });
}

/// item(tensor) -> the one element as a number.
napi_value item(napi_env env, napi_callback_info info) {
  return guarded(env, "item", [&]() -> napi_value {
    Arguments args(env, info);
    const auto& tensor = tensorAt(env, args, 0);
    if (tensor.numel() != 1) throw BadArgument("a tensor with one element is needed, got " + shapeText(tensor));
    const auto scalar = tensor.item();
    const double value = scalar.toDouble();
    if (scalar.isIntegral(false) && std::abs(value) > 9007199254740991.0) {
      throw BadArgument(std::to_string(scalar.toLong()) + " is no exact JavaScript number; read it with toTypedArray()");
    }
    return number(env, value);
  });
}

/// free(handles): drops native references; numbers that are stale already are left alone.
napi_value freeTensors(napi_env env, napi_callback_info info) {
  return guarded(env, "free", [&]() -> napi_value {
    Arguments args(env, info);
    auto& table = engineOf(env).tensors;
    for (const double handle : readNumbers(env, args[0], "tensors")) table.drop(handle);
    return nullptr;
  });
}

napi_value liveTensors(napi_env env, napi_callback_info) {
  return number(env, static_cast<double>(engineOf(env).tensors.live()));
}

/// adjustExternalMemory(change in bytes): tells the garbage collector what native memory its objects hold.
napi_value adjustExternalMemory(napi_env env, napi_callback_info info) {
  return guarded(env, "adjustExternalMemory", [&]() -> napi_value {
    Arguments args(env, info);
    int64_t total;
    napi_adjust_external_memory(env, static_cast<int64_t>(readNumber(env, args[0], "bytes")), &total);
    return number(env, static_cast<double>(total));
  });
}

}  // namespace

void defineTensors(napi_env env, napi_value exports) {
  define(env, exports, "fromBytes", fromBytes);
  define(env, exports, "toBytes", toBytes);
  define(env, exports, "describe", describe);
  define(env, exports, "storageId", storageId);
  define(env, exports, "isContiguous", isContiguous);
  define(env, exports, "item", item);
  define(env, exports, "free", freeTensors);
  define(env, exports, "liveTensors", liveTensors);
  define(env, exports, "adjustExternalMemory", adjustExternalMemory);
}

}  // namespace mahalo
