// Draws tokens from logits for the CPU: temperature, top-k, top-p and min-p of each row, and one uniform number a row.
//
// What is kept is what transformers' filters keep, in their order. A row of settings is temperature, k (0: all), p (1: all)
// and min-p (0: all). Temperature 0 takes the likeliest, the first of equals. Without a finite largest logit the draw is -1.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine.hpp"
#include "simd.hpp"

namespace mahalo {
namespace {

using at::Tensor;

/// Elements whose weights are summed together; a draw looks at single ones in one block only.
constexpr int64_t kDrawBlock = 512;

template <typename T>
MAHALO_INLINE float largestOf(const T* x, int64_t count) {
  float top = -INFINITY;
  _Pragma("omp simd reduction(max : top)") for (int64_t i = 0; i < count; ++i) top = std::max(top, widen(x[i]));
  return top;
}

template <typename T>
MAHALO_INLINE float weightOf(const T* x, int64_t count, float largest, float inverse) {
  float sum = 0;
  _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < count; ++i) sum += fastExp((widen(x[i]) - largest) * inverse);
  return sum;
}

template <typename T>
MAHALO_INLINE int64_t atLeast(const T* x, int64_t count, float bound) {
  int64_t found = 0;
  _Pragma("omp simd reduction(+ : found)") for (int64_t i = 0; i < count; ++i) found += widen(x[i]) >= bound;
  return found;
}

struct Settings {
  double temperature, topK, topP, minP;
};

struct Candidate {
  float logit;
  int64_t id;
  double weight;
};

/// A draw from all tokens, in their order.
template <typename T>
int64_t drawFromAll(const T* x, int64_t count, float largest, double temperature, double uniform) {
  const float inverse = static_cast<float>(1.0 / temperature);
  std::vector<double> sums;
  double total = 0;
  for (int64_t from = 0; from < count; from += kDrawBlock) {
    sums.push_back(dispatch<weightOf<T>>(x + from, std::min(kDrawBlock, count - from), largest, inverse));
    total += sums.back();
  }
  double left = uniform * total;
  size_t block = 0;
  while (block + 1 < sums.size() && left >= sums[block]) left -= sums[block++];
  int64_t last = 0;
  const int64_t end = std::min(count, static_cast<int64_t>(block + 1) * kDrawBlock);
  for (int64_t i = static_cast<int64_t>(block) * kDrawBlock; i < end; ++i) {
    const float weight = fastExp((widen(x[i]) - largest) * inverse);
    if (weight > 0) last = i;
    left -= weight;
    if (left < 0 && weight > 0) return i;
  }
  return last;
}

/// All tokens of at least this logit, in the order of their ids.
template <typename T>
std::vector<Candidate> collect(const T* x, int64_t count, float bound) {
  std::vector<Candidate> some;
  for (int64_t i = 0; i < count; ++i) {
    const float logit = widen(x[i]);
    if (logit >= bound) some.push_back({logit, i, 0});
  }
  return some;
}

/// Likeliest first, equals in the order of their ids.
void sort(std::vector<Candidate>& some) {
  std::sort(some.begin(), some.end(), [](const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); });
}

double weigh(std::vector<Candidate>& some, float largest, double temperature) {
  double sum = 0;
  for (auto& one : some) sum += one.weight = std::exp((static_cast<double>(one.logit) - largest) / temperature);
  return sum;
}

/// The likeliest tokens, as many as the settings can keep and perhaps more, weighed.
template <typename T>
std::vector<Candidate> likeliest(const T* x, int64_t count, float largest, const Settings& own, bool byCount, double enough) {
  for (int exponent = 4; exponent <= 56; exponent += 4) {
    const float bound = largest - static_cast<float>(own.temperature * exponent * std::log(2.0));
    if (byCount && dispatch<atLeast<T>>(x, count, bound) < static_cast<int64_t>(own.topK)) continue;
    auto some = collect(x, count, bound);
    if (weigh(some, largest, own.temperature) >= enough) return some;
  }
  auto all = collect(x, count, -INFINITY);
  weigh(all, largest, own.temperature);
  return all;
}

template <typename T>
int64_t drawRow(const T* x, int64_t count, const Settings& own, double uniform) {
  const float largest = dispatch<largestOf<T>>(x, count);
  if (!std::isfinite(largest)) return -1;
  if (own.temperature == 0) return std::find_if(x, x + count, [&](T one) { return widen(one) == largest; }) - x;
  const bool byCount = own.topK > 0 && own.topK < count, byShare = own.topP < 1;
  if (!byCount && !byShare && own.minP == 0) return drawFromAll(x, count, largest, own.temperature, uniform);
  double total = 0;
  if (byShare && !byCount) {
    const float inverse = static_cast<float>(1.0 / own.temperature);
    for (int64_t from = 0; from < count; from += kDrawBlock) total += dispatch<weightOf<T>>(x + from, std::min(kDrawBlock, count - from), largest, inverse);
  }
  std::vector<Candidate> some;
  if (byCount || byShare) {
    some = likeliest(x, count, largest, own, byCount, byCount ? 0 : own.topP * total);
    sort(some);
  } else {
    // A little below the bound, for rounding; the weights decide.
    some = collect(x, count, largest + static_cast<float>(own.temperature * std::log(own.minP)) - 1e-3f * static_cast<float>(own.temperature + std::abs(largest)));
    weigh(some, largest, own.temperature);
  }
  if (byCount) {
    const double least = some[static_cast<size_t>(own.topK) - 1].weight;
    while (some.back().weight < least) some.pop_back();
    total = 0;
    for (const auto& one : some) total += one.weight;
  }
  if (byShare) {
    double sum = 0;
    size_t kept = 0;
    while (kept < some.size() && (kept == 0 || sum < own.topP * total)) sum += some[kept++].weight;
    some.resize(kept);
  }
  std::erase_if(some, [&](const Candidate& one) { return one.weight < own.minP; });
  double sum = 0, left = uniform;
  for (const auto& one : some) sum += one.weight;
  int64_t last = some.front().id;
  for (const auto& one : some) {
    left -= one.weight / sum;
    if (left < 0) return one.id;
    if (one.weight > 0) last = one.id;
  }
  return last;
}

Tensor drawTokens(const Tensor& logits, const Tensor& settings, const Tensor& uniforms) {
  TORCH_CHECK(logits.dim() == 2 && logits.size(1) > 0 && (logits.scalar_type() == at::kFloat || logits.scalar_type() == at::kBFloat16), "draw_tokens: logits [N, V] of float32 or bfloat16 are needed");
  TORCH_CHECK(settings.scalar_type() == at::kDouble && settings.is_contiguous() && settings.dim() == 2 && settings.size(0) == logits.size(0) && settings.size(1) == 4,
              "draw_tokens: float64 settings [N, 4] are needed: temperature, k, p, min-p");
  TORCH_CHECK(uniforms.scalar_type() == at::kDouble && uniforms.is_contiguous() && uniforms.dim() == 1 && uniforms.size(0) == logits.size(0), "draw_tokens: float64 uniform numbers [N] are needed");
  const auto x = logits.contiguous();
  const int64_t rows = x.size(0), count = x.size(1);
  auto ids = at::empty({rows}, x.options().dtype(at::kLong));
  int64_t* into = ids.mutable_data_ptr<int64_t>();
  const double *own = settings.const_data_ptr<double>(), *numbers = uniforms.const_data_ptr<double>();
  for (int64_t row = 0; row < rows; ++row) {
    TORCH_CHECK(own[4 * row] >= 0 && own[4 * row + 1] >= 0 && own[4 * row + 2] >= 0 && own[4 * row + 3] >= 0 && own[4 * row + 3] <= 1, "draw_tokens: row ", row, " has settings out of range");
  }
  at::parallel_for(0, rows, 1, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row) {
      const Settings one{own[4 * row], own[4 * row + 1], own[4 * row + 2], own[4 * row + 3]};
      into[row] = x.scalar_type() == at::kFloat ? drawRow(x.const_data_ptr<float>() + row * count, count, one, numbers[row])
                                                : drawRow(x.const_data_ptr<c10::BFloat16>() + row * count, count, one, numbers[row]);
    }
  });
  return ids;
}

TORCH_LIBRARY_FRAGMENT(mahalo, library) { library.def("draw_tokens(Tensor logits, Tensor settings, Tensor uniforms) -> Tensor"); }
TORCH_LIBRARY_IMPL(mahalo, CPU, library) { library.impl("draw_tokens", drawTokens); }

}  // namespace
}  // namespace mahalo
