// Tiles of products for one instruction set; products.cpp includes this once for each, after it has set
// MAHALO_SET (namespace), MAHALO_TARGET (what its functions may use), MAHALO_REGISTER (bytes of a register),
// MAHALO_ROWS (most rows of a tile: its sums and operands fit the registers) and MAHALO_PAIRS (products of bfloat16 pairs).

namespace MAHALO_SET {

#define MAHALO_TILE_INLINE MAHALO_TARGET static inline __attribute__((always_inline))

constexpr int64_t kFloats = MAHALO_REGISTER / 4;
typedef float Floats __attribute__((vector_size(MAHALO_REGISTER)));
typedef int32_t Ints __attribute__((vector_size(MAHALO_REGISTER)));
typedef uint32_t Words __attribute__((vector_size(MAHALO_REGISTER)));
typedef int16_t Shorts __attribute__((vector_size(MAHALO_REGISTER)));
typedef uint16_t Halves __attribute__((vector_size(MAHALO_REGISTER / 2)));
typedef int8_t Bytes __attribute__((vector_size(MAHALO_REGISTER / 2)));

template <typename Vector, typename T>
MAHALO_TILE_INLINE Vector read(const T* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(Vector));
  return vector;
}

// Widening by name: compilers make five instructions of what is one (__builtin_convertvector in g++ 12).

MAHALO_TILE_INLINE Words widenHalves(Halves x) {
#if MAHALO_REGISTER == 64
  return (Words)_mm512_cvtepu16_epi32((__m256i)x);
#elif MAHALO_REGISTER == 32
  return (Words)_mm256_cvtepu16_epi32((__m128i)x);
#else
  return __builtin_convertvector(x, Words);
#endif
}

MAHALO_TILE_INLINE Shorts widenBytes(Bytes x) {
#if MAHALO_REGISTER == 64
  return (Shorts)_mm512_cvtepi8_epi16((__m256i)x);
#elif MAHALO_REGISTER == 32
  return (Shorts)_mm256_cvtepi8_epi16((__m128i)x);
#else
  return __builtin_convertvector(x, Shorts);
#endif
}

/// sum + a b, pairs of neighbours added into one lane.
MAHALO_TILE_INLINE Ints addPairs(Ints sum, Shorts a, Shorts b) {
#if MAHALO_REGISTER == 64 && MAHALO_PAIRS
  return (Ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif MAHALO_REGISTER == 64
  return sum + (Ints)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif MAHALO_REGISTER == 32
  return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif MAHALO_X86
  return sum + (Ints)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  for (int64_t lane = 0; lane < kFloats; ++lane) {
    sum[lane] += static_cast<int32_t>(a[2 * lane]) * b[2 * lane] + static_cast<int32_t>(a[2 * lane + 1]) * b[2 * lane + 1];
  }
  return sum;
#endif
}

/// The sums of the lanes of four registers; each one's is the same whatever the others hold.
MAHALO_TILE_INLINE void sumFour(Floats a, Floats b, Floats c, Floats d, float (&sums)[4]) {
#if MAHALO_REGISTER == 64
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b), _mm512_unpackhi_ps((__m512)a, (__m512)b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps((__m512)c, (__m512)d), _mm512_unpackhi_ps((__m512)c, (__m512)d));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512 quads = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#elif MAHALO_REGISTER == 32
  const __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps((__m256)a, (__m256)b), _mm256_hadd_ps((__m256)c, (__m256)d));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1)));
#else
  const Floats all[4] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) sums[i] = (all[i][0] + all[i][1]) + (all[i][2] + all[i][3]);
#endif
}

/// How one kind of weight is read and multiplied, kStep elements at once.
struct FloatTile {
  using X = float;
  using W = float;
  using Sum = Floats;
  using Part = Floats;
  static constexpr int64_t kStep = kFloats;
  MAHALO_TILE_INLINE Part weights(const W* w) { return read<Floats>(w); }
  MAHALO_TILE_INLINE Part rows(const X* x) { return read<Floats>(x); }
  MAHALO_TILE_INLINE Sum add(Sum sum, Part x, Part w) { return sum + x * w; }
  MAHALO_TILE_INLINE Floats floats(Sum sum) { return sum; }
};

/// bfloat16 weights, widened in registers.
struct HalfTile : FloatTile {
  using W = c10::BFloat16;
  MAHALO_TILE_INLINE Part weights(const W* w) { return (Floats)(widenHalves(read<Halves>(w)) << 16); }
};

/// Whole numbers of 15 bits with weights of 8.
struct ByteTile {
  using X = int16_t;
  using W = int8_t;
  using Sum = Ints;
  using Part = Shorts;
  static constexpr int64_t kStep = 2 * kFloats;
  MAHALO_TILE_INLINE Part weights(const W* w) { return widenBytes(read<Bytes>(w)); }
  MAHALO_TILE_INLINE Part rows(const X* x) { return read<Shorts>(x); }
  MAHALO_TILE_INLINE Sum add(Sum sum, Part x, Part w) { return addPairs(sum, x, w); }
  MAHALO_TILE_INLINE Floats floats(Sum sum) { return __builtin_convertvector(sum, Floats); }
};

/// The same with weights that have been widened before.
struct ShortTile : ByteTile {
  using W = int16_t;
  MAHALO_TILE_INLINE Part weights(const W* w) { return read<Shorts>(w); }
};

#if MAHALO_PAIRS
/// bfloat16 with bfloat16, two products a lane.
struct PairTile {
  using X = c10::BFloat16;
  using W = c10::BFloat16;
  using Sum = Floats;
  using Part = Shorts;
  static constexpr int64_t kStep = 2 * kFloats;
  MAHALO_TILE_INLINE Part weights(const W* w) { return read<Shorts>(w); }
  MAHALO_TILE_INLINE Part rows(const X* x) { return read<Shorts>(x); }
  MAHALO_TILE_INLINE Sum add(Sum sum, Part x, Part w) { return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w); }
  MAHALO_TILE_INLINE Floats floats(Sum sum) { return sum; }
};
#endif

/// Products of the last elements, which fill no register.
template <typename Kind>
MAHALO_TILE_INLINE float rest(const typename Kind::X* x, const typename Kind::W* w, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum = std::fma(widen(x[i]), widen(w[i]), sum);
  return sum;
}

/// What memory is asked for while a tile is computed: `bytes` a step from `next` on, in the order of the addresses, since
/// memory gives one stream of addresses about twice as fast as several side by side.
struct Fetch {
  const char* next = nullptr;
  int64_t bytes = 0;
};

/// R rows by C of 4 weight rows; y[r * stride + c]. Meanwhile kLines cache lines of `fetch` are asked for in each step.
template <typename Kind, int R, int C, int kLines>
MAHALO_TARGET void tile(const typename Kind::X* x, const typename Kind::W* w, int64_t k, float* y, int64_t stride, Fetch fetch) {
  typename Kind::Sum sums[R][4] = {};
  const int64_t whole = k - k % Kind::kStep;
  if constexpr (kLines > 0 && R <= 2 && MAHALO_REGISTER == 64) {
    // Memory is all that counts for one or two rows in wide registers: one stream of addresses without asking ahead.
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      for (int64_t i = 0; i < whole; i += Kind::kStep) {
        const auto part = Kind::weights(w + c * k + i);
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) sums[r][c] = Kind::add(sums[r][c], Kind::rows(x + r * k + i), part);
      }
    }
  } else {
    for (int64_t i = 0; i < whole; i += Kind::kStep) {
#pragma GCC unroll 4
      for (int line = 0; line < kLines; ++line) __builtin_prefetch(fetch.next + 64 * line);
      if constexpr (kLines > 0) fetch.next += fetch.bytes;
      typename Kind::Part own[R];
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) own[r] = Kind::rows(x + r * k + i);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        const auto part = Kind::weights(w + c * k + i);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) sums[r][c] = Kind::add(sums[r][c], own[r], part);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
    float four[4];
    sumFour(Kind::floats(sums[r][0]), Kind::floats(sums[r][1]), Kind::floats(sums[r][2]), Kind::floats(sums[r][3]), four);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      if (whole < k) four[c] += rest<Kind>(x + r * k + whole, w + c * k + whole, k - whole);
      y[r * stride + c] = four[c];
    }
  }
}

/// As `tile` for as many rows as `rows` says, at most MAHALO_ROWS.
template <typename Kind, int C, int kLines>
MAHALO_TARGET void tileOf(int64_t rows, const typename Kind::X* x, const typename Kind::W* w, int64_t k, float* y, int64_t stride, Fetch fetch) {
  switch (rows) {
    case 1: tile<Kind, 1, C, kLines>(x, w, k, y, stride, fetch); break;
    case 2: tile<Kind, 2, C, kLines>(x, w, k, y, stride, fetch); break;
#if MAHALO_ROWS > 3
    case 3: tile<Kind, 3, C, kLines>(x, w, k, y, stride, fetch); break;
    case 4: tile<Kind, 4, C, kLines>(x, w, k, y, stride, fetch); break;
    case 5: tile<Kind, 5, C, kLines>(x, w, k, y, stride, fetch); break;
#endif
    default: tile<Kind, MAHALO_ROWS, C, kLines>(x, w, k, y, stride, fetch); break;
  }
}

/// At most MAHALO_ROWS rows with `count` weight rows.
template <typename Kind, int kLines>
MAHALO_TARGET void columns(int64_t rows, const typename Kind::X* x, const typename Kind::W* w, int64_t k, int64_t count, float* y, int64_t stride, Fetch fetch) {
  int64_t n = 0;
  for (; n + 4 <= count; n += 4) {
    tileOf<Kind, 4, kLines>(rows, x, w + n * k, k, y + n, stride, fetch);
    fetch.next += fetch.bytes * (k / Kind::kStep);
  }
  for (; n < count; ++n) tileOf<Kind, 1, 0>(rows, x, w + n * k, k, y + n, stride, fetch);
}

/// All rows of x, in tiles of `most` rows, with `count` weight rows. Each tile asks memory for its share of what lies at
/// `next`, kBytes an element, so that memory works all the while.
template <typename Kind, int kBytes>
MAHALO_TARGET void everyTile(const typename Kind::X* x, int64_t rows, int64_t most, const typename Kind::W* w, int64_t k, int64_t count, float* y, int64_t stride, const char* next) {
  constexpr int64_t kStepBytes = 4 * Kind::kStep * kBytes;
  const int64_t number = (rows + most - 1) / most, share = kStepBytes / number;
  for (int64_t r = 0; r < rows; r += most) {
    const Fetch fetch{next, share};
    const int64_t height = std::min(most, rows - r);
    if (number == 1) columns<Kind, (kStepBytes + 63) / 64>(height, x + r * k, w, k, count, y + r * stride, stride, fetch);
    else columns<Kind, (kStepBytes + 127) / 128>(height, x + r * k, w, k, count, y + r * stride, stride, fetch);
    next += share * (k / Kind::kStep) * (count / 4);
  }
}

template <typename From, typename To>
MAHALO_TARGET void widenAll(const From* from, To* to, int64_t count) {
  int64_t i = 0;
  if constexpr (std::is_same_v<From, c10::BFloat16>) {
    for (; i + kFloats <= count; i += kFloats) {
      const Floats wide = HalfTile::weights(from + i);
      std::memcpy(to + i, &wide, sizeof(wide));
    }
  } else {
    for (; i + 2 * kFloats <= count; i += 2 * kFloats) {
      const Shorts wide = ByteTile::weights(from + i);
      std::memcpy(to + i, &wide, sizeof(wide));
    }
  }
  for (; i < count; ++i) to[i] = widen(from[i]);
}

/// Weight rows `from` to `to`, all rows of x. For more rows than a tile has, a block of weight rows is widened once and then
/// multiplies all of them out of the cache, while memory is asked for the next block; `Wide` gives the same numbers as `Kind`.
template <typename Kind, typename Wide>
MAHALO_TARGET void multiply(const typename Kind::X* x, int64_t rows, const Weight& weight, int64_t from, int64_t to, float* y, int64_t stride) {
  constexpr bool kSame = std::is_same_v<typename Kind::W, typename Wide::W>;
  constexpr int kBytes = sizeof(typename Kind::W);
  const int64_t k = weight.k;
  const auto* w = static_cast<const typename Kind::W*>(weight.data);
  const auto fetched = [&](int64_t n) { return reinterpret_cast<const char*>(w + n * k); };
  if (rows <= kDirectTiles * MAHALO_ROWS) {
    const int64_t tiles = (rows + MAHALO_ROWS - 1) / MAHALO_ROWS, most = (rows + tiles - 1) / tiles;
    // Four weight rows at once; the next four are fetched.
    for (int64_t n = from; n < to; n += 4) {
      const int64_t some = std::min<int64_t>(4, to - n);
      everyTile<Kind, kBytes>(x, rows, most, w + n * k, k, some, y + n, stride, fetched(n + 4));
    }
    return;
  }
  static thread_local std::vector<typename Wide::W> scratch;
  const int64_t width = std::max<int64_t>(4, kBlockBytes / static_cast<int64_t>(k * sizeof(typename Wide::W)) / 4 * 4);
  if (!kSame) scratch.resize(width * k);
  for (int64_t row = 0; row < rows; row += kBlockRows) {
    const int64_t count = std::min(kBlockRows, rows - row);
    const int64_t tiles = (count + MAHALO_ROWS - 1) / MAHALO_ROWS, most = (count + tiles - 1) / tiles;
    for (int64_t n = from; n < to; n += width) {
      const int64_t some = std::min(width, to - n);
      const typename Wide::W* block;
      if constexpr (kSame) block = w + n * k;
      else widenAll(w + n * k, scratch.data(), some * k), block = scratch.data();
      // A tile's rows stay in the cache for all of the block's weight rows.
      everyTile<Wide, kBytes>(x + row * k, count, most, block, k, some, y + row * stride + n, stride, fetched(n + width));
    }
  }
}

/// Weight rows `from` to `to`, all rows of x.
MAHALO_TARGET inline void multiplyColumns(const Rows& rows, const Weight& weight, int64_t from, int64_t to, float* y, int64_t stride) {
  if (weight.kind == at::kFloat) multiply<FloatTile, FloatTile>(rows.floats, rows.count, weight, from, to, y, stride);
  else if (weight.kind == at::kChar) multiply<ByteTile, ShortTile>(rows.wholes.data(), rows.count, weight, from, to, y, stride);
#if MAHALO_PAIRS
  else multiply<PairTile, PairTile>(rows.halves.data(), rows.count, weight, from, to, y, stride);
#else
  else multiply<HalfTile, FloatTile>(rows.floats, rows.count, weight, from, to, y, stride);
#endif
}

#undef MAHALO_TILE_INLINE
}  // namespace MAHALO_SET

#undef MAHALO_SET
#undef MAHALO_TARGET
#undef MAHALO_REGISTER
#undef MAHALO_ROWS
#undef MAHALO_PAIRS
