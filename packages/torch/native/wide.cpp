// Linear maps of bfloat16 whose products are computed in float32. What autograd keeps stays in bfloat16.
#include "wide.hpp"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace mahalo {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

Tensor floats(const Tensor& x) { return x.to(at::kFloat); }

Tensor wideLinear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1), "wide_linear: x [N, K] and a weight [M, K] are needed");
  return at::linear(floats(x), floats(weight), bias ? OptionalTensor(floats(*bias)) : bias).to(x.scalar_type());
}

struct WideLinear : torch::autograd::Function<WideLinear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    return wideLinear(x, weight, bias);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto gradient = floats(gradients[0]);
    variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = at::mm(gradient, floats(saved[1])).to(saved[0].scalar_type());
    if (context->needs_input_grad(1)) result[1] = at::mm(gradient.t(), floats(saved[0])).to(saved[1].scalar_type());
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) result[2] = gradient.sum(0).to(saved[1].scalar_type());
    return result;
  }
};

Tensor linearAutograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) { return WideLinear::apply(x, weight, bias); }

Tensor mm(const Tensor& a, const Tensor& b) { return at::mm(floats(a), floats(b)).to(a.scalar_type()); }

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("wide_linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor");
  library.def("wide_mm(Tensor a, Tensor b) -> Tensor");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("wide_linear", wideLinear);
  library.impl("wide_mm", mm);
}
TORCH_LIBRARY_IMPL(mahalo, AutogradCPU, library) { library.impl("wide_linear", linearAutograd); }

}  // namespace
}  // namespace mahalo
