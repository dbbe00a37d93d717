// Attention over key-value pages for the CPU: a pass's new keys and values go to their pages, and every new token attends
// all that its row holds. One call a layer, whatever the number of rows; pages that rows share are read where they are.
//
// A slab is [layers, 2, pages, G, P E]: keys of a page as [E, P], so that one instruction scores many positions, values as
// [P, E]. A page's number is its slab's times 65536 plus its place there. A plan is an int32 list: for each row the first
// of its new tokens, their number, the tokens it held before, and where its page table begins in the list.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <vector>

#include "engine.hpp"
#include "simd.hpp"

namespace mahalo {
namespace {

using at::Tensor;

/// Positions of a page, and queries that are computed together: their scores and sums stay in registers.
constexpr int64_t kPage = 32;
constexpr int kQueries = 6;
constexpr int64_t kSlabStride = 65536;

/// Registers of B bytes, and how keys and values are read into them.
template <int B>
struct Lanes;
#define MAHALO_LANES(B)                                                         \
  template <>                                                                   \
  struct Lanes<B> {                                                             \
    typedef float Floats __attribute__((vector_size(B)));                       \
    typedef uint16_t Halves __attribute__((vector_size(B / 2)));                \
    typedef uint32_t Words __attribute__((vector_size(B)));                     \
    static constexpr int kCount = B / 4;                                        \
    static MAHALO_INLINE void load(const float* from, Floats& into) { std::memcpy(&into, from, B); } \
    static MAHALO_INLINE void load(const c10::BFloat16* from, Floats& into) {   \
      Halves halves;                                                            \
      std::memcpy(&halves, from, B / 2);                                        \
      const Words words = __builtin_convertvector(halves, Words) << 16;         \
      std::memcpy(&into, &words, B);                                            \
    }                                                                           \
  };
MAHALO_LANES(16)
MAHALO_LANES(32)
MAHALO_LANES(64)
#undef MAHALO_LANES

/// Numbers that are computed side by side: with six queries they fill the registers of AVX2.
constexpr int kSide = 16;

/// Scores of N queries [N, E] with kSide positions of a page; what comes next is fetched meanwhile.
template <int N, int B, typename T>
MAHALO_INLINE void scoreHalf(const float* q, const T* keys, const T* next, float* scores, int64_t stride, int64_t width) {
  using L = Lanes<B>;
  constexpr int kParts = kSide / L::kCount;
  typename L::Floats sum[N][kParts] = {};
  for (int64_t e = 0; e < width; ++e) {
    typename L::Floats key[kParts];
    __builtin_prefetch(next + e * kPage);
#pragma GCC unroll 4
    for (int c = 0; c < kParts; ++c) L::load(keys + e * kPage + c * L::kCount, key[c]);
#pragma GCC unroll 6
    for (int n = 0; n < N; ++n) {
      const float own = q[n * width + e];
#pragma GCC unroll 4
      for (int c = 0; c < kParts; ++c) sum[n][c] += own * key[c];
    }
  }
#pragma GCC unroll 6
  for (int n = 0; n < N; ++n) std::memcpy(scores + n * stride, sum[n], sizeof(sum[n]));
}

/// Adds the values of one page's first `count` positions, weighted, to N sums.
template <int N, int B, typename T>
MAHALO_INLINE void addPage(const float* weights, int64_t stride, const T* values, const T* next, float* sums, int64_t width, int64_t count) {
  using L = Lanes<B>;
  constexpr int kParts = kSide / L::kCount;
  int64_t from = 0;
  for (; from + kSide <= width; from += kSide) {
    typename L::Floats sum[N][kParts];
#pragma GCC unroll 6
    for (int n = 0; n < N; ++n) std::memcpy(sum[n], sums + n * width + from, sizeof(sum[n]));
    for (int64_t p = 0; p < count; ++p) {
      typename L::Floats value[kParts];
      __builtin_prefetch(next + p * width + from);
#pragma GCC unroll 4
      for (int c = 0; c < kParts; ++c) L::load(values + p * width + from + c * L::kCount, value[c]);
#pragma GCC unroll 6
      for (int n = 0; n < N; ++n) {
        const float own = weights[n * stride + p];
#pragma GCC unroll 4
        for (int c = 0; c < kParts; ++c) sum[n][c] += own * value[c];
      }
    }
#pragma GCC unroll 6
    for (int n = 0; n < N; ++n) std::memcpy(sums + n * width + from, sum[n], sizeof(sum[n]));
  }
  // Elements that fill no register, each with one rounding a position, as above.
  for (; from < width; ++from) {
    for (int n = 0; n < N; ++n) {
      float sum = sums[n * width + from];
      for (int64_t p = 0; p < count; ++p) sum = std::fma(weights[n * stride + p], widen(values[p * width + from]), sum);
      sums[n * width + from] = sum;
    }
  }
}

/// Scores to weights exp(score - largest), in place; gives their sum. What lies behind the scores, up to a multiple of 16, is
/// overwritten. Lanes are added in one order, whatever the compiler makes of the loops, and in one function for all callers.
MAHALO_INLINE float softmaxInPlace(float* s, int64_t seen) {
  const int64_t whole = (seen + 15) / 16 * 16;
  float top[16], sum[16];
  for (int64_t i = seen; i < whole; ++i) s[i] = -INFINITY;
  _Pragma("omp simd") for (int lane = 0; lane < 16; ++lane) top[lane] = -INFINITY, sum[lane] = 0;
  for (int64_t i = 0; i < whole; i += 16) {
    _Pragma("omp simd") for (int lane = 0; lane < 16; ++lane) top[lane] = std::max(top[lane], s[i + lane]);
  }
  float largest = top[0];
  for (int lane = 1; lane < 16; ++lane) largest = std::max(largest, top[lane]);
  for (int64_t i = 0; i < whole; i += 16) {
    _Pragma("omp simd") for (int lane = 0; lane < 16; ++lane) {
      const float weight = fastExp(s[i + lane] - largest);
      s[i + lane] = weight;
      sum[lane] += weight;
    }
  }
  for (int width = 8; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) sum[lane] += sum[lane + width];
  }
  return sum[0];
}

/// One row's pages of one layer and key-value head.
template <typename T>
struct Pages {
  const T* const* slabs;
  const int64_t* offsets;  // of the slab's keys and values of this layer and head: two a slab
  const int32_t* table;
  int64_t pageStride;
  const T* at(int64_t page, int half) const {
    const int64_t slab = table[page] / kSlabStride, place = table[page] % kSlabStride;
    return slabs[slab] + offsets[2 * slab + half] + place * pageStride;
  }
};

/// N queries q [N, E], scaled, over the first seen[n] positions; sums [N, E] of zeros take the output.
template <int N, int B, typename T>
MAHALO_INLINE void attend(const float* q, const Pages<T>& pages, const int64_t* seen, int64_t width, float* scores, int64_t stride, float* sums) {
  const int64_t most = seen[N - 1];
  const int64_t last = (most - 1) / kPage;
  for (int64_t page = 0; page <= last; ++page) {
    // Behind the last keys come the first values.
    const T* next = page < last ? pages.at(page + 1, 0) : pages.at(0, 1);
    const T* keys = pages.at(page, 0);
    scoreHalf<N, B>(q, keys, next, scores + page * kPage, stride, width);
    // Keys of float32 fill two lines of memory a step, which the second half fetches.
    scoreHalf<N, B>(q, keys + 16, next + 16, scores + page * kPage + 16, stride, width);
  }
  float inverse[N];
  for (int n = 0; n < N; ++n) {
    float* s = scores + n * stride;
    inverse[n] = 1.0f / dispatch<softmaxInPlace>(s, seen[n]);
    for (int64_t i = seen[n]; i < most; ++i) s[i] = 0;
  }
  for (int64_t page = 0; page <= last; ++page) {
    const T* next = pages.at(std::min(page + 1, last), 1);
    addPage<N, B>(scores + page * kPage, stride, pages.at(page, 1), next, sums, width, std::min(kPage, most - page * kPage));
  }
  for (int n = 0; n < N; ++n) {
    _Pragma("omp simd") for (int64_t e = 0; e < width; ++e) sums[n * width + e] *= inverse[n];
  }
}

template <int B, typename T>
MAHALO_INLINE void attendQueries(int count, const float* q, const Pages<T>& pages, const int64_t* seen, int64_t width, float* scores, int64_t stride, float* sums) {
  switch (count) {
    case 1: attend<1, B>(q, pages, seen, width, scores, stride, sums); break;
    case 2: attend<2, B>(q, pages, seen, width, scores, stride, sums); break;
    case 3: attend<3, B>(q, pages, seen, width, scores, stride, sums); break;
    case 4: attend<4, B>(q, pages, seen, width, scores, stride, sums); break;
    case 5: attend<5, B>(q, pages, seen, width, scores, stride, sums); break;
    default: attend<kQueries, B>(q, pages, seen, width, scores, stride, sums);
  }
}

/// In registers of the instruction set in use.
template <typename T, typename... A>
void attendInSet(A... arguments) {
#if MAHALO_X86
  if (isa() >= Isa::kAvx512) return Variants<attendQueries<64, T>>::avx512(arguments...);
  if (isa() == Isa::kAvx2) return Variants<attendQueries<32, T>>::avx2(arguments...);
#endif
  Variants<attendQueries<16, T>>::plain(arguments...);
}

struct Row {
  int64_t start, count, held, table;
};

std::vector<Row> readPlan(const Tensor& plan, int64_t tokens, at::TensorList slabs) {
  TORCH_CHECK(plan.scalar_type() == at::kInt && plan.dim() == 1 && plan.is_contiguous() && plan.numel() >= 4, "paged attention: a plan is a list of int32");
  const int32_t* flat = plan.const_data_ptr<int32_t>();
  const int64_t size = plan.numel(), rows = flat[3] / 4;
  TORCH_CHECK(rows > 0 && rows * 4 <= size, "paged attention: the first page table must begin behind the rows");
  std::vector<Row> list;
  for (int64_t i = 0; i < rows; ++i) {
    const Row row{flat[4 * i], flat[4 * i + 1], flat[4 * i + 2], flat[4 * i + 3]};
    const int64_t pages = (row.held + row.count + kPage - 1) / kPage;
    TORCH_CHECK(row.start >= 0 && row.count > 0 && row.held >= 0 && row.start + row.count <= tokens && row.table >= rows * 4 && row.table + pages <= size,
                "paged attention: row ", i, " of the plan lies outside of ", tokens, " tokens or of its page tables");
    for (int64_t page = 0; page < pages; ++page) {
      const int64_t number = flat[row.table + page];
      TORCH_CHECK(number >= 0 && number / kSlabStride < static_cast<int64_t>(slabs.size()) && number % kSlabStride < slabs[number / kSlabStride].size(2),
                  "paged attention: there is no page ", number);
    }
    list.push_back(row);
  }
  return list;
}

void checkSlabs(at::TensorList slabs, int64_t layer, const Tensor& k, const Tensor& v) {
  TORCH_CHECK(k.dim() == 3 && k.sizes() == v.sizes() && (k.scalar_type() == at::kFloat || k.scalar_type() == at::kBFloat16) && v.scalar_type() == k.scalar_type(),
              "paged attention: keys and values [T, G, E] of float32 or bfloat16 are needed");
  TORCH_CHECK(slabs.size() > 0, "paged attention: there is no page");
  for (const auto& slab : slabs) {
    TORCH_CHECK(slab.dim() == 5 && slab.is_contiguous() && slab.scalar_type() == k.scalar_type() && layer >= 0 && layer < slab.size(0) && slab.size(1) == 2 &&
                    slab.size(3) == k.size(1) && slab.size(4) == kPage * k.size(2),
                "paged attention: a slab is [layers, 2, pages, G, ", kPage, " E] of the keys' dtype");
  }
}

/// Where each slab's memory begins, and its keys and values of a layer's first head.
template <typename T>
struct Memory {
  std::vector<T*> slabs;
  std::vector<int64_t> offsets;
  int64_t headStride, pageStride;
  Memory(at::TensorList all, int64_t layer) {
    headStride = all[0].size(4);
    pageStride = all[0].size(3) * headStride;
    for (const auto& slab : all) {
      slabs.push_back(slab.mutable_data_ptr<T>());
      for (int64_t half = 0; half < 2; ++half) offsets.push_back((layer * 2 + half) * slab.size(2) * pageStride);
    }
  }
};

template <typename T>
void writePages(const Memory<T>& memory, const Tensor& k, const Tensor& v, const std::vector<Row>& rows, const int32_t* plan) {
  const int64_t groups = k.size(1), width = k.size(2);
  const T *ks = k.const_data_ptr<T>(), *vs = v.const_data_ptr<T>();
  for (const auto& row : rows) {
    at::parallel_for(0, row.count, std::max<int64_t>(1, 16384 / (groups * width)), [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const int64_t position = row.held + i, place = position % kPage, page = plan[row.table + position / kPage];
        const int64_t slab = page / kSlabStride, at = (page % kSlabStride) * memory.pageStride;
        T* keys = memory.slabs[slab] + memory.offsets[2 * slab] + at;
        T* values = memory.slabs[slab] + memory.offsets[2 * slab + 1] + at;
        for (int64_t g = 0; g < groups; ++g) {
          const int64_t token = ((row.start + i) * groups + g) * width;
          T* column = keys + g * memory.headStride + place;
          for (int64_t e = 0; e < width; ++e) column[e * kPage] = ks[token + e];
          std::memcpy(values + g * memory.headStride + place * width, vs + token, width * sizeof(T));
        }
      }
    });
  }
}

/// Queries of one row and key-value head that are computed together: the first of them, and how many.
struct Task {
  int64_t row, group, first;
  int count;
};

template <typename T>
void attendPages(const Memory<T>& memory, const Tensor& q, Tensor& output, int64_t groups, const std::vector<Row>& rows, const int32_t* plan) {
  const int64_t heads = q.size(1), width = q.size(2), share = heads / groups;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  std::vector<Task> tasks;
  int64_t longest = 0, work = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t queries = rows[r].count * share;
    longest = std::max(longest, rows[r].held + rows[r].count);
    work += (rows[r].held + rows[r].count) * queries * groups * width;
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t first = 0; first < queries; first += kQueries) {
        tasks.push_back({static_cast<int64_t>(r), g, first, static_cast<int>(std::min<int64_t>(kQueries, queries - first))});
      }
    }
  }
  if (tasks.empty()) return;
  // A prompt's later tokens see more than its first: threads take from both ends.
  std::vector<Task> mixed(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) mixed[i] = i % 2 == 0 ? tasks[i / 2] : tasks[tasks.size() - 1 - i / 2];
  const int64_t stride = (longest + kPage - 1) / kPage * kPage, total = static_cast<int64_t>(tasks.size());
  const T* qs = q.const_data_ptr<T>();
  T* os = output.mutable_data_ptr<T>();
  // A thread takes as many tasks as are worth waking it.
  at::parallel_for(0, total, std::max<int64_t>(1, 131072 * total / std::max<int64_t>(1, work)), [&](int64_t from, int64_t to) {
    std::vector<float> scratch(kQueries * (stride + 2 * width));
    std::vector<int64_t> offsets(memory.offsets.size());
    float *scores = scratch.data(), *queries = scores + kQueries * stride, *sums = queries + kQueries * width;
    for (int64_t t = from; t < to; ++t) {
      const Task& task = mixed[t];
      const Row& row = rows[task.row];
      for (size_t i = 0; i < offsets.size(); ++i) offsets[i] = memory.offsets[i] + task.group * memory.headStride;
      int64_t seen[kQueries], place[kQueries];
      for (int n = 0; n < task.count; ++n) {
        // Queries of a token's heads come one after the other, then the next token's.
        const int64_t token = (task.first + n) / share, head = task.group * share + (task.first + n) % share;
        seen[n] = row.held + token + 1;
        place[n] = ((row.start + token) * heads + head) * width;
        for (int64_t e = 0; e < width; ++e) queries[n * width + e] = widen(qs[place[n] + e]) * scale;
      }
      std::fill(sums, sums + kQueries * width, 0.0f);
      const Pages<T> pages{memory.slabs.data(), offsets.data(), plan + row.table, memory.pageStride};
      attendInSet<T>(task.count, queries, pages, seen, width, scores, stride, sums);
      for (int n = 0; n < task.count; ++n) {
        for (int64_t e = 0; e < width; ++e) os[place[n] + e] = narrow<T>(sums[n * width + e]);
      }
    }
  });
}

Tensor pagedAttention(at::TensorList slabs, int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& plan) {
  checkSlabs(slabs, layer, k, v);
  TORCH_CHECK(q.dim() == 3 && q.size(0) == k.size(0) && q.size(2) == k.size(2) && k.size(1) > 0 && q.size(1) % k.size(1) == 0 && q.scalar_type() == k.scalar_type(),
              "paged attention: queries [T, H, E] with G dividing H are needed");
  const auto rows = readPlan(plan, k.size(0), slabs);
  int64_t tokens = 0;
  for (const auto& row : rows) {
    TORCH_CHECK(row.start == tokens, "paged attention: the rows' tokens must lie end to end");
    tokens += row.count;
  }
  TORCH_CHECK(tokens == q.size(0), "paged attention: the plan covers ", tokens, " of ", q.size(0), " tokens");
  const auto queries = q.contiguous(), keys = k.contiguous(), values = v.contiguous();
  auto output = at::empty_like(queries);
  const int32_t* flat = plan.const_data_ptr<int32_t>();
  const auto run = [&](const auto& memory) {
    writePages(memory, keys, values, rows, flat);
    attendPages(memory, queries, output, k.size(1), rows, flat);
  };
  if (q.scalar_type() == at::kFloat) run(Memory<float>(slabs, layer));
  else run(Memory<c10::BFloat16>(slabs, layer));
  return output;
}

TORCH_LIBRARY_FRAGMENT(mahalo, library) {
  library.def("paged_attention_(Tensor(a!)[] slabs, int layer, Tensor q, Tensor k, Tensor v, Tensor plan) -> Tensor");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("paged_attention_", pagedAttention);
}

}  // namespace
}  // namespace mahalo
