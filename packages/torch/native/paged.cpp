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
#include "softmax.hpp"

namespace mahalo {
namespace {

using at::Tensor;

/// Positions of a page, and queries that are computed together: their scores and sums stay in registers.
constexpr int64_t kPage = 32;
constexpr int kQueries = 4;
constexpr int64_t kSlabStride = 65536;
/// Queries of a row and key-value head from which on matrix products over gathered pages are faster, and most of them at once.
constexpr int64_t kGathered = 16;
constexpr int64_t kAtOnce = 1024;

// Sixteen numbers; the compiler makes two or four registers of them where one is not wide enough.
typedef float Wide __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(64)));

MAHALO_INLINE void load(const float* from, Wide& into) { std::memcpy(&into, from, sizeof(Wide)); }
MAHALO_INLINE void load(const c10::BFloat16* from, Wide& into) {
  Halves halves;
  std::memcpy(&halves, from, sizeof(Halves));
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&into, &words, sizeof(Wide));
}

/// Scores of N queries [N, E] with the positions of one page; the next page is fetched meanwhile.
template <int N, typename T>
MAHALO_INLINE void scorePage(const float* q, const T* keys, const T* next, float* scores, int64_t stride, int64_t width) {
  Wide low[N] = {}, high[N] = {};
  for (int64_t e = 0; e < width; ++e) {
    Wide a, b;
    __builtin_prefetch(next + e * kPage);
    if (sizeof(T) > 2) __builtin_prefetch(next + e * kPage + 16);
    load(keys + e * kPage, a);
    load(keys + e * kPage + 16, b);
    for (int n = 0; n < N; ++n) {
      const float own = q[n * width + e];
      low[n] += own * a;
      high[n] += own * b;
    }
  }
  for (int n = 0; n < N; ++n) {
    std::memcpy(scores + n * stride, &low[n], sizeof(Wide));
    std::memcpy(scores + n * stride + 16, &high[n], sizeof(Wide));
  }
}

/// Adds the values of one page's first `count` positions, weighted, to N sums; from element `from` on, C times sixteen.
template <int N, int C, typename T>
MAHALO_INLINE void addValues(const float* weights, int64_t stride, const T* values, const T* next, float* sums, int64_t width, int64_t count, int64_t from) {
  Wide sum[N][C];
  for (int n = 0; n < N; ++n) std::memcpy(sum[n], sums + n * width + from, sizeof(sum[n]));
  for (int64_t p = 0; p < count; ++p) {
    Wide value[C];
    for (size_t line = 0; line < C * 16 * sizeof(T); line += 64) __builtin_prefetch(next + p * width + from + line / sizeof(T));
    for (int c = 0; c < C; ++c) load(values + p * width + from + 16 * c, value[c]);
    for (int n = 0; n < N; ++n) {
      const float own = weights[n * stride + p];
      for (int c = 0; c < C; ++c) sum[n][c] += own * value[c];
    }
  }
  for (int n = 0; n < N; ++n) std::memcpy(sums + n * width + from, sum[n], sizeof(sum[n]));
}

template <int N, typename T>
MAHALO_INLINE void addPage(const float* weights, int64_t stride, const T* values, const T* next, float* sums, int64_t width, int64_t count) {
  int64_t from = 0;
  for (; from + 64 <= width; from += 64) addValues<N, 4>(weights, stride, values, next, sums, width, count, from);
  for (; from + 16 <= width; from += 16) addValues<N, 1>(weights, stride, values, next, sums, width, count, from);
  for (; from < width; ++from) {
    for (int n = 0; n < N; ++n) {
      float sum = sums[n * width + from];
      for (int64_t p = 0; p < count; ++p) sum += weights[n * stride + p] * widen(values[p * width + from]);
      sums[n * width + from] = sum;
    }
  }
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
template <int N, typename T>
MAHALO_INLINE void attend(const float* q, const Pages<T>& pages, const int64_t* seen, int64_t width, float* scores, int64_t stride, float* sums) {
  const int64_t most = seen[N - 1];
  const int64_t last = (most - 1) / kPage;
  for (int64_t page = 0; page <= last; ++page) {
    // Behind the last keys come the first values.
    const T* next = page < last ? pages.at(page + 1, 0) : pages.at(0, 1);
    scorePage<N>(q, pages.at(page, 0), next, scores + page * kPage, stride, width);
  }
  float inverse[N];
  for (int n = 0; n < N; ++n) {
    float* s = scores + n * stride;
    float top = -INFINITY;
    _Pragma("omp simd reduction(max : top)") for (int64_t i = 0; i < seen[n]; ++i) top = std::max(top, s[i]);
    float sum = 0;
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < seen[n]; ++i) {
      s[i] = fastExp(s[i] - top);
      sum += s[i];
    }
    for (int64_t i = seen[n]; i < most; ++i) s[i] = 0;
    inverse[n] = 1.0f / sum;
  }
  for (int64_t page = 0; page <= last; ++page) {
    const T* next = pages.at(std::min(page + 1, last), 1);
    addPage<N>(scores + page * kPage, stride, pages.at(page, 1), next, sums, width, std::min(kPage, most - page * kPage));
  }
  for (int n = 0; n < N; ++n) {
    _Pragma("omp simd") for (int64_t e = 0; e < width; ++e) sums[n * width + e] *= inverse[n];
  }
}

#define MAHALO_PAGED(T)                                                                                              \
  MAHALO_CLONES void attendQueries(int count, const float* q, const Pages<T>& pages, const int64_t* seen, int64_t width, \
                                   float* scores, int64_t stride, float* sums) {                                     \
    switch (count) {                                                                                                 \
      case 1: attend<1>(q, pages, seen, width, scores, stride, sums); break;                                         \
      case 2: attend<2>(q, pages, seen, width, scores, stride, sums); break;                                         \
      case 3: attend<3>(q, pages, seen, width, scores, stride, sums); break;                                         \
      default: attend<4>(q, pages, seen, width, scores, stride, sums);                                               \
    }                                                                                                                \
  }
MAHALO_PAGED(float)
MAHALO_PAGED(c10::BFloat16)

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

void check(at::TensorList slabs, int64_t layer, const Tensor& k, const Tensor& v) {
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

/// A row of many new tokens: its pages as matrices, then products of libtorch's as for whole prompts.
template <typename T>
void attendGathered(const Memory<T>& memory, const Tensor& q, Tensor& output, int64_t groups, const Row& row, const int32_t* plan) {
  const int64_t heads = q.size(1), width = q.size(2), share = heads / groups, length = row.held + row.count;
  const int64_t pages = (length + kPage - 1) / kPage, padded = pages * kPage;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  auto keys = at::empty({groups, width, padded}, q.options()), values = at::empty({groups, padded, width}, q.options());
  T *ks = keys.template mutable_data_ptr<T>(), *vs = values.template mutable_data_ptr<T>();
  at::parallel_for(0, groups * pages, std::max<int64_t>(1, 32768 / (kPage * width)), [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t g = i / pages, page = i % pages, number = plan[row.table + page], slab = number / kSlabStride;
      const int64_t at = (number % kSlabStride) * memory.pageStride + g * memory.headStride;
      const T* own = memory.slabs[slab] + memory.offsets[2 * slab] + at;
      for (int64_t e = 0; e < width; ++e) std::memcpy(ks + (g * width + e) * padded + page * kPage, own + e * kPage, kPage * sizeof(T));
      T* into = vs + (g * padded + page * kPage) * width;
      std::memcpy(into, memory.slabs[slab] + memory.offsets[2 * slab + 1] + at, kPage * width * sizeof(T));
      // Places that nobody wrote weigh 0, and are not to be NaN.
      const int64_t used = std::min(kPage, length - page * kPage);
      std::memset(into + used * width, 0, (kPage - used) * width * sizeof(T));
    }
  });
  const T* qs = q.const_data_ptr<T>();
  T* os = output.mutable_data_ptr<T>();
  const int64_t most = std::max<int64_t>(1, kAtOnce / share);
  for (int64_t first = 0; first < row.count; first += most) {
    const int64_t tokens = std::min(most, row.count - first), rows = tokens * share;
    auto queries = at::empty({groups, rows, width}, q.options());
    T* into = queries.template mutable_data_ptr<T>();
    const auto place = [&](int64_t g, int64_t token) { return ((row.start + first + token) * heads + g * share) * width; };
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t token = 0; token < tokens; ++token) {
        std::memcpy(into + (g * rows + token * share) * width, qs + place(g, token), share * width * sizeof(T));
      }
    }
    auto scores = at::bmm(queries, keys);
    T* ss = scores.template mutable_data_ptr<T>();
    at::parallel_for(0, groups * rows, std::max<int64_t>(1, 32768 / padded), [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) softmaxRow(ss + i * padded, row.held + first + i % rows / share + 1, padded, scale);
    });
    const auto sums = at::bmm(scores, values);
    const T* from = sums.template const_data_ptr<T>();
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t token = 0; token < tokens; ++token) {
        std::memcpy(os + place(g, token), from + (g * rows + token * share) * width, share * width * sizeof(T));
      }
    }
  }
}

/// Whether a row's queries are many enough to be worth gathering its pages.
bool isGathered(const Row& row, int64_t share) { return row.count > 1 && row.count * share >= kGathered; }

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
    if (isGathered(rows[r], share)) {
      attendGathered(memory, q, output, groups, rows[r], plan);
      continue;
    }
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
  const int64_t stride = (longest + kPage - 1) / kPage * kPage, total = static_cast<int64_t>(tasks.size());
  const T* qs = q.const_data_ptr<T>();
  T* os = output.mutable_data_ptr<T>();
  // A thread takes as many tasks as are worth waking it.
  at::parallel_for(0, total, std::max<int64_t>(1, 131072 * total / std::max<int64_t>(1, work)), [&](int64_t from, int64_t to) {
    std::vector<float> scratch(kQueries * (stride + 2 * width));
    std::vector<int64_t> offsets(memory.offsets.size());
    float *scores = scratch.data(), *queries = scores + kQueries * stride, *sums = queries + kQueries * width;
    for (int64_t t = from; t < to; ++t) {
      const Task& task = tasks[t];
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
      attendQueries(task.count, queries, pages, seen, width, scores, stride, sums);
      for (int n = 0; n < task.count; ++n) {
        for (int64_t e = 0; e < width; ++e) os[place[n] + e] = narrow<T>(sums[n * width + e]);
      }
    }
  });
}

void pagedWrite(at::TensorList slabs, int64_t layer, const Tensor& k, const Tensor& v, const Tensor& plan) {
  check(slabs, layer, k, v);
  const auto rows = readPlan(plan, k.size(0), slabs);
  const auto keys = k.contiguous(), values = v.contiguous();
  const int32_t* flat = plan.const_data_ptr<int32_t>();
  if (k.scalar_type() == at::kFloat) writePages(Memory<float>(slabs, layer), keys, values, rows, flat);
  else writePages(Memory<c10::BFloat16>(slabs, layer), keys, values, rows, flat);
}

Tensor pagedAttention(at::TensorList slabs, int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& plan) {
  check(slabs, layer, k, v);
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
  library.def("paged_write_(Tensor(a!)[] slabs, int layer, Tensor k, Tensor v, Tensor plan) -> ()");
  library.def("paged_attention_(Tensor(a!)[] slabs, int layer, Tensor q, Tensor k, Tensor v, Tensor plan) -> Tensor");
}
TORCH_LIBRARY_IMPL(mahalo, CPU, library) {
  library.impl("paged_write_", pagedWrite);
  library.impl("paged_attention_", pagedAttention);
}

}  // namespace
}  // namespace mahalo
