// Fused layer kernels for the CPU, registered as operators of the library `mahalo` beside ATen's own: one pass over
// memory where composed operators take many. Formulas stand with each; src/ops.generated.ts has their signatures.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "engine.hpp"
#include "simd.hpp"

namespace mahalo {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void need(bool condition, const char* what) { TORCH_CHECK(condition, what); }

/// Calls body<T> for float32 or bfloat16 data.
#define MAHALO_DISPATCH(tensor, ...)                                      \
  if ((tensor).scalar_type() == at::kFloat) {                             \
    using T = float;                                                      \
    __VA_ARGS__                                                           \
  } else if ((tensor).scalar_type() == at::kBFloat16) {                   \
    using T = c10::BFloat16;                                              \
    __VA_ARGS__                                                           \
  } else {                                                                \
    TORCH_CHECK(false, "float32 or bfloat16 is needed, got ", (tensor).scalar_type()); \
  }

/// Rows a thread takes at least: below this, waking another costs more than it saves.
int64_t grain(int64_t width) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)); }

// ---- RMS norm: y = x r w with r = 1 / sqrt(mean(x^2) + eps) ----

template <typename T>
MAHALO_INLINE void normForwardRow(const T* x, const T* w, T* y, float* r, int64_t width, float eps) {
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < width; ++i) sum += widen(x[i]) * widen(x[i]);
  const float scale = 1.0f / std::sqrt(sum / width + eps);
  *r = scale;
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) y[i] = narrow<T>(widen(x[i]) * scale * widen(w[i]));
}

/// dx = r (g w - xhat mean(g w xhat)), dw += g xhat, with xhat = x r
template <typename T>
MAHALO_INLINE void normBackwardRow(const T* g, const T* x, const T* w, float r, T* dx, float* dw, int64_t width) {
  float dot = 0;
  _Pragma("omp simd reduction(+ : dot)") for (int64_t i = 0; i < width; ++i) dot += widen(g[i]) * widen(w[i]) * widen(x[i]);
  const float mean = dot * r * r / width;
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) {
    const float gi = widen(g[i]), xi = widen(x[i]);
    dx[i] = narrow<T>(r * (gi * widen(w[i]) - xi * mean));
    dw[i] += gi * xi * r;
  }
}

std::tuple<Tensor, Tensor> normForward(const Tensor& input, const Tensor& weight, double eps) {
  const int64_t width = weight.numel();
  need(input.dim() > 0 && input.size(-1) == width && weight.dim() == 1, "rms_norm: weight must fit the last dimension");
  need(input.scalar_type() == weight.scalar_type(), "rms_norm: input and weight must share a dtype");
  const auto x = input.contiguous(), w = weight.contiguous();
  auto y = at::empty_like(x);
  const int64_t rows = x.numel() / std::max<int64_t>(1, width);
  auto r = at::empty({rows}, x.options().dtype(at::kFloat));
  MAHALO_DISPATCH(x, {
    const T *xs = x.const_data_ptr<T>(), *ws = w.const_data_ptr<T>();
    T* ys = y.mutable_data_ptr<T>();
    float* rs = r.mutable_data_ptr<float>();
    at::parallel_for(0, rows, grain(width), [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        dispatch<normForwardRow<T>>(xs + row * width, ws, ys + row * width, rs + row, width, static_cast<float>(eps));
      }
    });
  })
  return {y, r};
}

std::tuple<Tensor, Tensor> normBackward(const Tensor& gradient, const Tensor& input, const Tensor& weight, const Tensor& r) {
  const int64_t width = weight.numel();
  const auto g = gradient.contiguous(), x = input.contiguous(), w = weight.contiguous();
  auto dx = at::empty_like(x);
  const int64_t rows = r.numel();
  // One partial sum a block of rows; the number of blocks depends on the number of threads alone.
  const int64_t blocks = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), rows));
  auto dw = at::zeros({blocks, width}, x.options().dtype(at::kFloat));
  MAHALO_DISPATCH(x, {
    const T *gs = g.const_data_ptr<T>(), *xs = x.const_data_ptr<T>(), *ws = w.const_data_ptr<T>();
    T* dxs = dx.mutable_data_ptr<T>();
    float* dws = dw.mutable_data_ptr<float>();
    const float* rs = r.const_data_ptr<float>();
    at::parallel_for(0, blocks, 1, [&](int64_t from, int64_t to) {
      for (int64_t block = from; block < to; ++block) {
        for (int64_t row = rows * block / blocks; row < rows * (block + 1) / blocks; ++row) {
          dispatch<normBackwardRow<T>>(gs + row * width, xs + row * width, ws, rs[row], dxs + row * width, dws + block * width, width);
        }
      }
    });
  })
  return {dx, dw.sum(0).to(weight.scalar_type())};
}

// ---- SwiGLU: y = silu(gate) up ----

template <typename T>
MAHALO_INLINE void swigluRow(const T* gate, const T* up, T* y, int64_t width) {
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) {
    const float a = widen(gate[i]);
    y[i] = narrow<T>(a / (1.0f + fastExp(-a)) * widen(up[i]));
  }
}

/// d gate = g up s (1 + gate (1 - s)), d up = g gate s, with s = sigmoid(gate)
template <typename T>
MAHALO_INLINE void swigluBackwardRow(const T* g, const T* gate, const T* up, T* dgate, T* dup, int64_t width) {
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) {
    const float a = widen(gate[i]), gi = widen(g[i]);
    const float s = 1.0f / (1.0f + fastExp(-a));
    dgate[i] = narrow<T>(gi * widen(up[i]) * s * (1.0f + a * (1.0f - s)));
    dup[i] = narrow<T>(gi * a * s);
  }
}

Tensor swigluForward(const Tensor& gateUp) {
  need(gateUp.dim() == 2 && gateUp.size(1) % 2 == 0, "swiglu: a matrix with an even number of columns is needed");
  const auto x = gateUp.contiguous();
  const int64_t rows = x.size(0), width = x.size(1) / 2;
  auto y = at::empty({rows, width}, x.options());
  MAHALO_DISPATCH(x, {
    const T* xs = x.const_data_ptr<T>();
    T* ys = y.mutable_data_ptr<T>();
    at::parallel_for(0, rows, grain(width), [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        const T* gate = xs + 2 * row * width;
        dispatch<swigluRow<T>>(gate, gate + width, ys + row * width, width);
      }
    });
  })
  return y;
}

Tensor swigluBackward(const Tensor& gradient, const Tensor& gateUp) {
  const auto g = gradient.contiguous(), x = gateUp.contiguous();
  const int64_t rows = x.size(0), width = x.size(1) / 2;
  auto dx = at::empty_like(x);
  MAHALO_DISPATCH(x, {
    const T *gs = g.const_data_ptr<T>(), *xs = x.const_data_ptr<T>();
    T* dxs = dx.mutable_data_ptr<T>();
    at::parallel_for(0, rows, grain(width), [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row) {
        const T* gate = xs + 2 * row * width;
        T* dgate = dxs + 2 * row * width;
        dispatch<swigluBackwardRow<T>>(gs + row * width, gate, gate + width, dgate, dgate + width, width);
      }
    });
  })
  return dx;
}

// ---- Split and rotate: qkv rows to queries and keys turned by their positions, and values ----

/// [a, b] -> [a cos - b sin, b cos + a sin]; sign -1 turns back, which is the gradient
template <typename T>
MAHALO_INLINE void rotateHead(const T* x, const T* cosine, const T* sine, T* y, int64_t half, float sign) {
  _Pragma("omp simd") for (int64_t i = 0; i < half; ++i) {
    const float a = widen(x[i]), b = widen(x[i + half]), c = widen(cosine[i]), s = sign * widen(sine[i]);
    y[i] = narrow<T>(a * c - b * s);
    y[i + half] = narrow<T>(b * c + a * s);
  }
}

std::tuple<Tensor, Tensor, Tensor> splitRotateForward(const Tensor& qkv, const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t kvHeads) {
  need(qkv.dim() == 2 && cosine.dim() == 2 && cosine.size(0) == qkv.size(0) && cosine.sizes() == sine.sizes(), "split_rotate: qkv [T, Q] and rotations [T, E] are needed");
  const int64_t tokens = qkv.size(0), width = cosine.size(1), half = width / 2;
  need(heads > 0 && kvHeads > 0 && width % 2 == 0, "split_rotate: heads and kvHeads above 0 and an even head width are needed");
  need(qkv.size(1) == (heads + 2 * kvHeads) * width, "split_rotate: the columns of qkv must be heads + 2 kvHeads heads");
  need(qkv.scalar_type() == cosine.scalar_type() && qkv.scalar_type() == sine.scalar_type(), "split_rotate: qkv and rotations must share a dtype");
  const auto x = qkv.contiguous(), c = cosine.contiguous(), s = sine.contiguous();
  auto q = at::empty({tokens, heads, width}, x.options());
  auto k = at::empty({tokens, kvHeads, width}, x.options());
  auto v = at::empty({tokens, kvHeads, width}, x.options());
  MAHALO_DISPATCH(x, {
    const T *xs = x.const_data_ptr<T>(), *cs = c.const_data_ptr<T>(), *ss = s.const_data_ptr<T>();
    T *qs = q.mutable_data_ptr<T>(), *ks = k.mutable_data_ptr<T>(), *vs = v.mutable_data_ptr<T>();
    at::parallel_for(0, tokens, grain(x.size(1)), [&](int64_t from, int64_t to) {
      for (int64_t t = from; t < to; ++t) {
        const T* row = xs + t * x.size(1);
        for (int64_t h = 0; h < heads; ++h) dispatch<rotateHead<T>>(row + h * width, cs + t * width, ss + t * width, qs + (t * heads + h) * width, half, 1);
        row += heads * width;
        for (int64_t h = 0; h < kvHeads; ++h) dispatch<rotateHead<T>>(row + h * width, cs + t * width, ss + t * width, ks + (t * kvHeads + h) * width, half, 1);
        std::memcpy(vs + t * kvHeads * width, row + kvHeads * width, kvHeads * width * sizeof(T));
      }
    });
  })
  return {q, k, v};
}

Tensor splitRotateBackward(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& cosine, const Tensor& sine) {
  const auto gq = dq.contiguous(), gk = dk.contiguous(), gv = dv.contiguous(), c = cosine.contiguous(), s = sine.contiguous();
  const int64_t tokens = gq.size(0), heads = gq.size(1), kvHeads = gk.size(1), width = gq.size(2), half = width / 2;
  const int64_t columns = (heads + 2 * kvHeads) * width;
  auto dx = at::empty({tokens, columns}, gq.options());
  MAHALO_DISPATCH(gq, {
    const T *qs = gq.const_data_ptr<T>(), *ks = gk.const_data_ptr<T>(), *vs = gv.const_data_ptr<T>();
    const T *cs = c.const_data_ptr<T>(), *ss = s.const_data_ptr<T>();
    T* dxs = dx.mutable_data_ptr<T>();
    at::parallel_for(0, tokens, grain(columns), [&](int64_t from, int64_t to) {
      for (int64_t t = from; t < to; ++t) {
        T* row = dxs + t * columns;
        for (int64_t h = 0; h < heads; ++h) dispatch<rotateHead<T>>(qs + (t * heads + h) * width, cs + t * width, ss + t * width, row + h * width, half, -1);
        row += heads * width;
        for (int64_t h = 0; h < kvHeads; ++h) dispatch<rotateHead<T>>(ks + (t * kvHeads + h) * width, cs + t * width, ss + t * width, row + h * width, half, -1);
        std::memcpy(row + kvHeads * width, vs + t * kvHeads * width, kvHeads * width * sizeof(T));
      }
    });
  })
  return dx;
}

// ---- Token log-probabilities: logp = l[y] - lse, lse = log sum exp(l); and their gradient in place of the logits ----

template <typename T>
MAHALO_INLINE float logSumExp(const T* logits, int64_t width) {
  float top = -INFINITY;
  _Pragma("omp simd reduction(max : top)") for (int64_t i = 0; i < width; ++i) top = std::max(top, widen(logits[i]));
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < width; ++i) sum += fastExp(widen(logits[i]) - top);
  return top + std::log(sum);
}

template <typename T>
MAHALO_INLINE void softmaxDeltaRow(T* logits, float lse, float slope, int64_t width) {
  _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) logits[i] = narrow<T>(-slope * fastExp(widen(logits[i]) - lse));
}

void checkTargets(const Tensor& logits, const Tensor& targets) {
  need(logits.dim() == 2 && logits.is_contiguous(), "log-probabilities: contiguous logits [N, V] are needed");
  need(targets.scalar_type() == at::kLong && targets.dim() == 1 && targets.is_contiguous() && targets.size(0) == logits.size(0), "log-probabilities: int64 targets [N] are needed");
  const int64_t* ids = targets.const_data_ptr<int64_t>();
  for (int64_t n = 0; n < targets.size(0); ++n) need(ids[n] >= 0 && ids[n] < logits.size(1), "log-probabilities: a target lies outside the vocabulary");
}

std::tuple<Tensor, Tensor> tokenLogProbs(const Tensor& logits, const Tensor& targets) {
  checkTargets(logits, targets);
  const int64_t rows = logits.size(0), width = logits.size(1);
  auto logps = at::empty({rows}, logits.options().dtype(at::kFloat));
  auto lse = at::empty_like(logps);
  MAHALO_DISPATCH(logits, {
    const T* ls = logits.const_data_ptr<T>();
    const int64_t* ids = targets.const_data_ptr<int64_t>();
    float *ps = logps.mutable_data_ptr<float>(), *zs = lse.mutable_data_ptr<float>();
    at::parallel_for(0, rows, 1, [&](int64_t from, int64_t to) {
      for (int64_t n = from; n < to; ++n) {
        zs[n] = dispatch<logSumExp<T>>(ls + n * width, width);
        ps[n] = widen(ls[n * width + ids[n]]) - zs[n];
      }
    });
  })
  return {logps, lse};
}

/// logits <- slope (onehot(target) - softmax(logits))
Tensor& tokenLogProbsDelta(Tensor& logits, const Tensor& lse, const Tensor& targets, const Tensor& slopes) {
  checkTargets(logits, targets);
  need(lse.scalar_type() == at::kFloat && slopes.scalar_type() == at::kFloat && lse.numel() == logits.size(0) && slopes.numel() == logits.size(0), "log-probabilities: float32 normalisers and slopes [N] are needed");
  const auto z = lse.contiguous(), s = slopes.contiguous();
  const int64_t rows = logits.size(0), width = logits.size(1);
  MAHALO_DISPATCH(logits, {
    T* ls = logits.mutable_data_ptr<T>();
    const int64_t* ids = targets.const_data_ptr<int64_t>();
    const float *zs = z.const_data_ptr<float>(), *ss = s.const_data_ptr<float>();
    at::parallel_for(0, rows, 1, [&](int64_t from, int64_t to) {
      for (int64_t n = from; n < to; ++n) {
        T* row = ls + n * width;
        // Taken before the row is overwritten, so that 1 - p is not lost to rounding.
        const float own = ss[n] * (1.0f - std::exp(widen(row[ids[n]]) - zs[n]));
        dispatch<softmaxDeltaRow<T>>(row, zs[n], ss[n], width);
        row[ids[n]] = narrow<T>(own);
      }
    });
  })
  // Autograd is to notice where it had saved the logits.
  logits.unsafeGetTensorImpl()->bump_version();
  return logits;
}

// ---- Autograd ----

struct NormFunction : torch::autograd::Function<NormFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double eps) {
    auto [y, r] = normForward(x, weight, eps);
    context->save_for_backward({x, weight, r});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    auto [dx, dw] = normBackward(gradients[0], saved[0], saved[1], saved[2]);
    return {dx, dw, Tensor()};
  }
};

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& gateUp) {
    context->save_for_backward({gateUp});
    return swigluForward(gateUp);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {swigluBackward(gradients[0], context->get_saved_variables()[0])};
  }
};

struct SplitRotateFunction : torch::autograd::Function<SplitRotateFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& qkv, const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t kvHeads) {
    context->save_for_backward({cosine, sine});
    context->saved_data["heads"] = heads;
    context->saved_data["kvHeads"] = kvHeads;
    auto [q, k, v] = splitRotateForward(qkv, cosine, sine, heads, kvHeads);
    return {q, k, v};
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const int64_t tokens = saved[0].size(0), width = saved[0].size(1);
    // An output that took no part in the loss has no gradient.
    const auto orZeros = [&](const Tensor& gradient, const char* heads) {
      return gradient.defined() ? gradient : at::zeros({tokens, context->saved_data[heads].toInt(), width}, saved[0].options());
    };
    return {splitRotateBackward(orZeros(gradients[0], "heads"), orZeros(gradients[1], "kvHeads"), orZeros(gradients[2], "kvHeads"), saved[0], saved[1]),
            Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor normAutograd(const Tensor& x, const Tensor& weight, double eps) { return NormFunction::apply(x, weight, eps); }
Tensor swigluAutograd(const Tensor& gateUp) { return SwigluFunction::apply(gateUp); }
std::tuple<Tensor, Tensor, Tensor> splitRotateAutograd(const Tensor& qkv, const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t kvHeads) {
  auto parts = SplitRotateFunction::apply(qkv, cosine, sine, heads, kvHeads);
  return {parts[0], parts[1], parts[2]};
}

// Their gradient is token_log_probs_delta_'s, by hand: recorded by autograd, none would arrive and nothing would say so.
void needNoGradient(const Tensor& logits) {
  need(!at::GradMode::is_enabled() || !logits.requires_grad(), "log-probabilities: logits that require a gradient are taken without recording only");
}
std::tuple<Tensor, Tensor> tokenLogProbsUnrecorded(const Tensor& logits, const Tensor& targets) {
  needNoGradient(logits);
  return tokenLogProbs(logits, targets);
}
Tensor& tokenLogProbsDeltaUnrecorded(Tensor& logits, const Tensor& lse, const Tensor& targets, const Tensor& slopes) {
  needNoGradient(logits);
  return tokenLogProbsDelta(logits, lse, targets, slopes);
}

Tensor normPlain(const Tensor& x, const Tensor& weight, double eps) { return std::get<0>(normForward(x, weight, eps)); }

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  library.def("swiglu(Tensor gate_up) -> Tensor");
  library.def("split_rotate(Tensor qkv, Tensor cosine, Tensor sine, int heads, int kv_heads) -> (Tensor, Tensor, Tensor)");
  library.def("token_log_probs(Tensor logits, Tensor targets) -> (Tensor, Tensor)");
  library.def("token_log_probs_delta_(Tensor(a!) logits, Tensor lse, Tensor targets, Tensor slopes) -> Tensor(a!)");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("rms_norm", normPlain);
  library.impl("swiglu", swigluForward);
  library.impl("split_rotate", splitRotateForward);
  library.impl("token_log_probs", tokenLogProbs);
  library.impl("token_log_probs_delta_", tokenLogProbsDelta);
}
TORCH_LIBRARY_IMPL(mahalo, AutogradCPU, library) {
  library.impl("rms_norm", normAutograd);
  library.impl("swiglu", swigluAutograd);
  library.impl("split_rotate", splitRotateAutograd);
  library.impl("token_log_probs", tokenLogProbsUnrecorded);
  library.impl("token_log_probs_delta_", tokenLogProbsDeltaUnrecorded);
}

}  // namespace
}  // namespace mahalo
