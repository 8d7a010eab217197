#include "cli/ledger.hpp"

#include <algorithm>
#include <array>
#include <cstring>

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
  return mixed(h.number * golden ^ static_cast<std::uint64_t>(h.intended)) ^ mixed((std::uint64_t{h.handle} << 32 | h.size) + golden);
}

/// Calls visit(offset, pattern, bytes) over all that lies behind the head.
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

ledger::ledger(std::uint32_t handles, std::uint64_t messages, std::size_t size) : arrivals_(handles), size_(size) {
  for (std::uint32_t i = 0; i < handles; ++i) {
    arrivals_[i].planned = messages / handles + (i < messages % handles ? 1 : 0);
  }
}

void ledger::write(std::span<std::byte> payload, std::uint64_t message, std::int64_t intended) const noexcept {
  head h{0, message / arrivals_.size(), intended, handle_of(message), static_cast<std::uint32_t>(payload.size())};
  h.mark = mark_of(h);
  std::memcpy(payload.data(), &h, sizeof h);
  over_pattern(h.mark, payload.size(), [&](std::size_t at, std::uint64_t word, std::size_t bytes) {
    std::memcpy(payload.data() + at, &word, bytes);
    return true;
  });
}

void ledger::arrived(std::uint32_t handle, std::span<const std::byte> payload, std::int64_t now) {
  auto& r = arrivals_[handle];
  head h{};
  if (payload.size() == size_) {
    std::memcpy(&h, payload.data(), sizeof h);
  }
  const bool intact = payload.size() == size_ && h.handle == handle && h.size == size_ && h.number < r.planned && h.mark == mark_of(h) &&
                      over_pattern(h.mark, size_, [&](std::size_t at, std::uint64_t word, std::size_t bytes) {
                        return std::memcmp(payload.data() + at, &word, bytes) == 0;
                      });
  if (!intact) {
    ++totals_.corrupted;
    return;
  }
  if (h.number == r.next) {
    ++r.next;
  } else if (h.number > r.next) {
    for (; r.next < h.number; ++r.next) {
      r.missing.insert(r.missing.end(), r.next);
    }
    ++r.next;
  } else if (r.missing.erase(h.number) == 1) {
    ++totals_.out_of_order;
  } else {
    ++totals_.duplicated;
    return;
  }
  ++totals_.delivered;
  latency_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(now - h.intended, 0)));
}

std::uint64_t ledger::lost(std::uint64_t sent) const {
  std::uint64_t count = 0;
  for (std::uint64_t i = 0; i < arrivals_.size(); ++i) {
    const auto& r = arrivals_[i];
    const std::uint64_t of_this = sent / arrivals_.size() + (i < sent % arrivals_.size() ? 1 : 0);
    count += r.missing.size() + (of_this > r.next ? of_this - r.next : 0);
  }
  return count;
}

}  // namespace cpgring::cli
