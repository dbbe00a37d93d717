// The table of native objects that JavaScript holds by number: a slot and a generation, so that a stale number is an error.
#pragma once
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace mahalo {

struct BadArgument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Slots of T addressed by a double-safe integer: generation * 2^24 + slot. Zero is never a valid number.
template <typename T>
class Table {
 public:
  double put(T value) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(slots_.size());
      if (slot >= kSlots) throw BadArgument("more than 16 million live native objects");
      slots_.push_back({std::move(value), 1, true});
    } else {
      slot = free_.back();
      free_.pop_back();
      slots_[slot].value = std::move(value);
      slots_[slot].live = true;
    }
    ++live_;
    return static_cast<double>(slots_[slot].generation) * kSlots + slot;
  }

  T& get(double number, const char* what) {
    Slot* slot = find(number);
    if (slot == nullptr) throw BadArgument(std::string(what) + " was freed or never existed");
    return slot->value;
  }

  /// Drops one object; a number that is stale already is left alone, so that freeing twice is harmless.
  bool drop(double number) {
    Slot* slot = find(number);
    if (slot == nullptr) return false;
    slot->live = false;
    slot->generation = slot->generation % kGenerations + 1;
    free_.push_back(static_cast<uint32_t>(slot - slots_.data()));
    --live_;
    slot->value = T();
    return true;
  }

  size_t live() const { return live_; }

 private:
  static constexpr uint64_t kSlots = 1u << 24;
  static constexpr uint64_t kGenerations = (1u << 29) - 2;
  struct Slot {
    T value;
    uint64_t generation;
    bool live;
  };

  /// The live slot of a number, or null; any double may come in, for JavaScript can pass any.
  Slot* find(double number) {
    if (!(number >= kSlots && number < 9007199254740992.0) || number != std::floor(number)) return nullptr;
    const auto key = static_cast<uint64_t>(number);
    const auto place = static_cast<size_t>(key % kSlots);
    if (place >= slots_.size() || !slots_[place].live || slots_[place].generation != key / kSlots) return nullptr;
    return &slots_[place];
  }

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
};

}  // namespace mahalo
