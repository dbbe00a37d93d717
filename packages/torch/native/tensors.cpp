// Tensors as JavaScript sees them: their properties, typed-array contents and release.
#include <cstring>

#include "engine.hpp"

namespace mahalo {
namespace {

at::Tensor& tensorAt(napi_env env, const Arguments& args, size_t i) {
  return engineOf(env).tensors.get(readNumber(env, args[i], "a tensor"), "tensor");
}

/// fromBytes(typed array, dtype, shape): a copy of the array's bytes as a CPU tensor.
napi_value fromBytes(napi_env env, napi_callback_info info) {
  return guarded(env, "fromBytes", [&]() -> napi_value {
    Arguments args(env, info);
    const auto dtype = readDtype(env, args[1]);
    const auto shape = readInts(env, args[2], "a shape");
    napi_typedarray_type type;
    size_t length, offset;
    void* data;
    napi_value buffer;
    check(napi_get_typedarray_info(env, args[0], &type, &length, &data, &buffer, &offset), "a typed array");
    static constexpr size_t kWidths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
    const size_t bytes = length * kWidths[type];
    auto tensor = at::empty(shape, at::TensorOptions().dtype(dtype));
    if (tensor.nbytes() != bytes) {
      throw BadArgument(std::to_string(bytes) + " bytes do not fill " + shapeText(tensor) + " (" + std::to_string(tensor.nbytes()) + " bytes)");
    }
    if (bytes > 0) std::memcpy(tensor.mutable_data_ptr(), data, bytes);
    return tensorNumber(env, std::move(tensor));
  });
}

/// toBytes(tensor, typed array): copies the contents, in row-major order, into an array of just that size.
napi_value toBytes(napi_env env, napi_callback_info info) {
  return guarded(env, "toBytes", [&]() -> napi_value {
    Arguments args(env, info);
    const auto tensor = tensorAt(env, args, 0).detach().to(at::kCPU).contiguous();
    napi_typedarray_type type;
    size_t length, offset;
    void* data;
    napi_value buffer;
    check(napi_get_typedarray_info(env, args[1], &type, &length, &data, &buffer, &offset), "a typed array");
    static constexpr size_t kWidths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
    if (length * kWidths[type] != tensor.nbytes()) throw BadArgument("the array's size differs from the tensor's");
    if (tensor.nbytes() > 0) std::memcpy(data, tensor.const_data_ptr(), tensor.nbytes());
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

/// storageId(tensor) -> a number equal for tensors that share memory.
napi_value storageId(napi_env env, napi_callback_info info) {
  return guarded(env, "storageId", [&]() -> napi_value {
    Arguments args(env, info);
    return number(env, static_cast<double>(reinterpret_cast<uintptr_t>(tensorAt(env, args, 0).storage().unsafeGetStorageImpl())));
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
    return number(env, tensor.item().toDouble());
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
