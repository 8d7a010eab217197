#include "cli/ledger.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <thread>

namespace cpgring::cli {
namespace {

struct head {
  std::uint64_t mark;
  std::uint64_t number;
  std::int64_t intended;
  std::uint32_t handle;
  std::uint32_t size;
};
static_assert(sizeof(head) == ledger::payload_min);

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15;

constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93;
  return x ^ (x >> 29);
}

std::uint64_t mark_of(const head& h) noexcept {
  return mixed(h.number * golden ^ static_cast<std::uint64_t>(h.intended)) ^
         mixed((std::uint64_t{h.handle} << 32 | h.size) + golden);
}

/// Calls visit(offset, pattern, bytes) for all bytes after the head.
template <class Visit>
bool over_pattern(std::uint64_t mark, std::size_t size, Visit visit) noexcept {
  std::uint64_t word = mark;
  for (std::size_t at = sizeof(head); at < size; at += sizeof word) {
    word = word * 6364136223846793005 + golden;
    if (!visit(at, word, std::min(sizeof word, size - at))) {
      return false;
    }
  }
  return true;
}

}  // namespace

ledger::ledger(std::uint32_t handles, std::uint64_t messages, std::size_t size, std::uint32_t threads)
    : arrivals_(handles), size_(size), shared_(threads > 1) {
  for (std::uint32_t i = 0; i < threads; ++i) {
    shares_.push_back(std::make_unique<share>());
  }
  for (std::uint32_t i = 0; i < handles; ++i) {
    arrivals_[i].planned = messages / handles + (i < messages % handles ? 1 : 0);
  }
}

void ledger::write(std::span<std::byte> payload, std::uint64_t message,
                   std::int64_t intended) const noexcept {
  head h{0, message / arrivals_.size(), intended, handle_of(message),
         static_cast<std::uint32_t>(payload.size())};
  h.mark = mark_of(h);
  std::memcpy(payload.data(), &h, sizeof h);
  over_pattern(h.mark, payload.size(), [&](std::size_t at, std::uint64_t word, std::size_t bytes) {
    std::memcpy(payload.data() + at, &word, bytes);
    return true;
  });
}

ledger::share& ledger::mine() {
  return *shares_[std::hash<std::thread::id>{}(std::this_thread::get_id()) % shares_.size()];
}

bool ledger::intact(std::uint32_t handle, std::span<const std::byte> payload) const noexcept {
  head h{};
  if (payload.size() != size_) {
    return false;
  }
  std::memcpy(&h, payload.data(), sizeof h);
  return h.handle == handle && h.size == size_ && h.number < arrivals_[handle].planned &&
         h.mark == mark_of(h) &&
         over_pattern(h.mark, size_, [&](std::size_t at, std::uint64_t word, std::size_t bytes) {
           return std::memcmp(payload.data() + at, &word, bytes) == 0;
         });
}

void ledger::count_corrupted() {
  share& to = mine();
  const auto lock = locked(to.lock);
  ++to.counts.corrupted;
}

void ledger::arrived(std::uint32_t handle, std::span<const std::byte> payload, std::int64_t now) {
  if (!intact(handle, payload)) {
    count_corrupted();
    return;
  }
  head h{};
  std::memcpy(&h, payload.data(), sizeof h);
  bool again = false, late = false;
  {
    auto& r = arrivals_[handle];
    const auto lock = locked(r.lock);
    if (h.number == r.next) {
      ++r.next;
    } else if (h.number > r.next) {
      for (; r.next < h.number; ++r.next) {
        r.missing.insert(r.missing.end(), r.next);
      }
      ++r.next;
    } else {
      late = r.missing.erase(h.number) == 1;
      again = !late;
    }
  }
  share& to = mine();
  const auto lock = locked(to.lock);
  if (again) {
    ++to.counts.duplicated;
    return;
  }
  to.counts.out_of_order += late ? 1U : 0U;
  ++to.counts.delivered;
  to.latency.record(static_cast<std::uint64_t>(std::max<std::int64_t>(now - h.intended, 0)));
}

ledger::totals ledger::so_far() const {
  totals sum;
  for (const auto& one : shares_) {
    const auto lock = locked(one->lock);
    sum.delivered += one->counts.delivered;
    sum.duplicated += one->counts.duplicated;
    sum.out_of_order += one->counts.out_of_order;
    sum.corrupted += one->counts.corrupted;
  }
  return sum;
}

histogram ledger::latency() const {
  histogram all;
  for (const auto& one : shares_) {
    const auto lock = locked(one->lock);
    all.merge(one->latency);
  }
  return all;
}

std::uint64_t ledger::lost(std::uint64_t sent) const {
  std::uint64_t count = 0;
  for (std::uint64_t i = 0; i < arrivals_.size(); ++i) {
    const auto& r = arrivals_[i];
    const auto lock = locked(r.lock);
    const std::uint64_t of_this = sent / arrivals_.size() + (i < sent % arrivals_.size() ? 1 : 0);
    count += r.missing.size() + (of_this > r.next ? of_this - r.next : 0);
  }
  return count;
}

}  // namespace cpgring::cli
