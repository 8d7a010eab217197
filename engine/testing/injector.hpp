// Decides when faults are committed: a pure function of the seed, the kind, the client and the number of the
// occasion.
//
// Bookkeeping only, without libqb. One thread. Invariants: I1 a decision depends neither on time nor on other
// clients, except for fault_rate::at_most. I2 the random numbers of one kind do not influence those of
// another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <cpgring/testing.hpp>

namespace cpgring::testing {

enum class fault : std::uint8_t {
  torn_frame,
  lying_frame,
  late_doorbell,
  try_again,
  stall,
  crowd,
  hang_up,
  hang_up_sender,
  hang_up_receiver,
};
inline constexpr std::size_t fault_kinds = 9;

/// Random numbers for one decision (splitmix64).
class draws {
 public:
  explicit draws(std::uint64_t state) noexcept : state_(state) {}
  std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15U); }
  /// In [0, end). `end` is small, so the bias of the modulo does not matter.
  std::uint64_t below(std::uint64_t end) noexcept { return next() % end; }
  /// In [0, 1).
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  static std::uint64_t mix(std::uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

/// Occasions counted for one client.
struct fault_occasions {
  std::uint64_t client = 0;  // 1, 2, 3 ... in the order of acceptance
  std::array<std::uint64_t, fault_kinds> seen{};
};

class injector {
 public:
  explicit injector(const service_faults& faults) noexcept : faults_(faults) {}

  [[nodiscard]] const service_faults& faults() const noexcept { return faults_; }

  /// Counts an occasion of `kind` for this client. A value: commit the fault, and take the random choices
  /// from it.
  std::optional<draws> strikes(fault kind, fault_occasions& of) noexcept {
    const auto index = static_cast<std::size_t>(kind);
    const fault_rate& rate = rate_of(kind);
    const std::uint64_t occasion = of.seen[index]++;
    if (rate.probability <= 0 || occasion < rate.after ||
        (rate.at_most != 0 && committed_[index] >= rate.at_most)) {
      return std::nullopt;
    }
    std::uint64_t state = faults_.seed;
    for (const std::uint64_t part : {std::uint64_t{index} + 1, of.client, occasion}) {
      state = draws::mix(state + 0x9e3779b97f4a7c15U * (part + 1));
    }
    draws choice(state);
    if (choice.unit() >= rate.probability) {
      return std::nullopt;
    }
    ++committed_[index];
    return choice;
  }

 private:
  [[nodiscard]] const fault_rate& rate_of(fault kind) const noexcept {
    switch (kind) {
      case fault::torn_frame: return faults_.torn_frame;
      case fault::lying_frame: return faults_.lying_frame;
      case fault::late_doorbell: return faults_.late_doorbell;
      case fault::try_again: return faults_.try_again;
      case fault::stall: return faults_.stall;
      case fault::crowd: return faults_.crowd;
      case fault::hang_up: return faults_.hang_up;
      case fault::hang_up_sender: return faults_.hang_up_sender;
      case fault::hang_up_receiver: break;
    }
    return faults_.hang_up_receiver;
  }

  service_faults faults_;
  std::array<std::uint64_t, fault_kinds> committed_{};
};

}  // namespace cpgring::testing
