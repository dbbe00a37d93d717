// Autograd entry points: gradients of leaves, of chosen inputs, and the gradient mode.
#include <torch/csrc/autograd/autograd.h>

#include "engine.hpp"

namespace mahalo {
namespace {

/// One gradient an output; null stands for one, for a scalar output, as in torch.autograd.backward.
std::vector<at::Tensor> readGradients(napi_env env, napi_value value, const std::vector<at::Tensor>& outputs) {
  auto& table = engineOf(env).tensors;
  std::vector<at::Tensor> result;
  eachElement(env, value, "a list of gradients", [&](napi_value element) {
    if (isMissing(env, element)) result.emplace_back();
    else result.push_back(table.get(readNumber(env, element, "a tensor"), "tensor"));
  });
  if (result.size() != outputs.size()) {
    throw BadArgument(std::to_string(outputs.size()) + " outputs, but " + std::to_string(result.size()) + " gradients");
  }
  for (size_t i = 0; i < result.size(); ++i) {
    if (result[i].defined() && result[i].sizes() != outputs[i].sizes()) {
      throw BadArgument("gradient " + std::to_string(i) + " is " + shapeText(result[i]) + ", its output " + shapeText(outputs[i]));
    }
  }
  return result;
}

/// backward(outputs, gradients, retain graph)
napi_value backward(napi_env env, napi_callback_info info) {
  return guarded(env, "backward", [&]() -> napi_value {
    Arguments args(env, info);
    const auto outputs = readTensors(env, args[0], "a list of tensors");
    torch::autograd::backward(outputs, readGradients(env, args[1], outputs), readBoolean(env, args[2], "a boolean"), false);
    return nullptr;
  });
}

/// gradients(outputs, inputs, output gradients, retain graph, allow unused) -> gradients or nulls
napi_value gradients(napi_env env, napi_callback_info info) {
  return guarded(env, "grad", [&]() -> napi_value {
    Arguments args(env, info);
    const auto outputs = readTensors(env, args[0], "a list of tensors");
    const auto inputs = readTensors(env, args[1], "a list of tensors");
    return tensorNumbers(env, torch::autograd::grad(outputs, inputs, readGradients(env, args[2], outputs),
                                                    readBoolean(env, args[3], "a boolean"), false,
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
    if (gradient.is_same(tensor)) throw BadArgument("a tensor cannot be its own gradient");
    if (gradient.defined() && (gradient.sizes() != tensor.sizes() || gradient.scalar_type() != tensor.scalar_type() ||
                               gradient.device() != tensor.device())) {
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
