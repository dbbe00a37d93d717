// Autograd entry points: gradients of leaves, of chosen inputs, and the gradient mode.
#include <torch/csrc/autograd/autograd.h>

#include "engine.hpp"

namespace mahalo {
namespace {

/// Gradients may be null (one for a scalar output), as in torch.autograd.backward.
std::vector<at::Tensor> readGradients(napi_env env, napi_value value) {
  auto& table = engineOf(env).tensors;
  std::vector<at::Tensor> result;
  uint32_t length;
  check(napi_get_array_length(env, value, &length), "a list of gradients");
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    napi_valuetype kind;
    napi_get_element(env, value, i, &element);
    napi_typeof(env, element, &kind);
    if (kind == napi_null || kind == napi_undefined) result.emplace_back();
    else result.push_back(table.get(readNumber(env, element, "a tensor"), "tensor"));
  }
  return result;
}

/// backward(outputs, gradients, retain graph)
napi_value backward(napi_env env, napi_callback_info info) {
  return guarded(env, "backward", [&]() -> napi_value {
    Arguments args(env, info);
    torch::autograd::backward(readTensors(env, args[0], "a list of tensors"), readGradients(env, args[1]),
                              readBoolean(env, args[2], "a boolean"), false);
    return nullptr;
  });
}

/// gradients(outputs, inputs, output gradients, retain graph, allow unused) -> gradients or nulls
napi_value gradients(napi_env env, napi_callback_info info) {
  return guarded(env, "grad", [&]() -> napi_value {
    Arguments args(env, info);
    return tensorNumbers(
        env, torch::autograd::grad(readTensors(env, args[0], "a list of tensors"), readTensors(env, args[1], "a list of tensors"),
                                   readGradients(env, args[2]), readBoolean(env, args[3], "a boolean"), false,
                                   readBoolean(env, args[4], "a boolean")));
  });
}

napi_value gradientOf(napi_env env, napi_callback_info info) {
  return guarded(env, "grad", [&]() -> napi_value {
    Arguments args(env, info);
    return tensorNumber(env, engineOf(env).tensors.get(readNumber(env, args[0], "a tensor"), "tensor").grad());
  });
}

napi_value setGradient(napi_env env, napi_callback_info info) {
  return guarded(env, "grad", [&]() -> napi_value {
    Arguments args(env, info);
    auto& engine = engineOf(env);
    auto& tensor = engine.tensors.get(readNumber(env, args[0], "a tensor"), "tensor");
    at::Tensor gradient;
    if (args.has(env, 1)) gradient = engine.tensors.get(readNumber(env, args[1], "a tensor"), "tensor");
    if (gradient.defined() && gradient.sizes() != tensor.sizes()) {
      throw BadArgument("gradient " + shapeText(gradient) + " does not fit " + shapeText(tensor));
    }
    tensor.mutable_grad() = std::move(gradient);
    return nullptr;
  });
}

napi_value setRequiresGrad(napi_env env, napi_callback_info info) {
  return guarded(env, "requiresGrad", [&]() -> napi_value {
    Arguments args(env, info);
    engineOf(env).tensors.get(readNumber(env, args[0], "a tensor"), "tensor").requires_grad_(readBoolean(env, args[1], "a boolean"));
    return nullptr;
  });
}

/// setGradMode(enabled) -> the mode before
napi_value setGradMode(napi_env env, napi_callback_info info) {
  return guarded(env, "setGradMode", [&]() -> napi_value {
    Arguments args(env, info);
    const bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(readBoolean(env, args[0], "a boolean"));
    return boolean(env, before);
  });
}

}  // namespace

void defineAutograd(napi_env env, napi_value exports) {
  define(env, exports, "backward", backward);
  define(env, exports, "gradients", gradients);
  define(env, exports, "gradientOf", gradientOf);
  define(env, exports, "setGradient", setGradient);
  define(env, exports, "setRequiresGrad", setRequiresGrad);
  define(env, exports, "setGradMode", setGradMode);
}

}  // namespace mahalo
