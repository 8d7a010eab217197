#include "campaign/payload.hpp"

#include <cstring>

#include <fmt/format.h>

namespace cpgring::campaign {
namespace {

struct header {
  std::uint64_t checksum = 0;  // over everything after this field
  std::uint64_t life = 0;
  std::uint64_t sequence = 0;
  std::uint32_t node = 0;
  std::uint32_t pid = 0;
  std::uint64_t size = 0;  // of the whole message
};
static_assert(sizeof(header) == stamped_bytes_min);

std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  std::uint64_t sum = bytes.size();
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const auto part = std::min(bytes.size(), sizeof word);
    std::memcpy(&word, bytes.data(), part);
    sum = mixed(sum ^ word) + 0x9e3779b97f4a7c15U;
    bytes = bytes.subspan(part);
  }
  return sum;
}

void write_stamped(std::span<std::byte> into, const stamp& by) {
  header h{0, by.id.sender, by.id.sequence, by.sender.node, by.sender.pid, into.size()};
  // No two messages share bytes, so a piece of another message changes the checksum.
  std::uint64_t filler = mixed(by.id.sender) ^ by.id.sequence;
  for (auto rest = into.subspan(sizeof h); !rest.empty();) {
    filler = mixed(filler + 0x9e3779b97f4a7c15U);
    const auto part = std::min(rest.size(), sizeof filler);
    std::memcpy(rest.data(), &filler, part);
    rest = rest.subspan(part);
  }
  std::memcpy(into.data(), &h, sizeof h);
  h.checksum = checksum(into.subspan(sizeof h.checksum));
  std::memcpy(into.data(), &h.checksum, sizeof h.checksum);
}

std::optional<stamp> read_stamped(std::span<const std::byte> from, std::string& wrong) {
  header h;
  if (from.size() < sizeof h) {
    wrong = fmt::format("only {} bytes arrived", from.size());
    return std::nullopt;
  }
  std::memcpy(&h, from.data(), sizeof h);
  if (h.size != from.size()) {
    wrong = fmt::format("{} bytes arrived, the header says {}", from.size(), h.size);
    return std::nullopt;
  }
  if (const auto sum = checksum(from.subspan(sizeof h.checksum)); sum != h.checksum) {
    wrong = fmt::format("{} bytes have checksum {:x}, the header says {:x}; the stamp is {}/{}", from.size(),
                        sum, h.checksum, h.life, h.sequence);
    return std::nullopt;
  }
  return stamp{{h.life, h.sequence}, {h.node, h.pid}};
}

}  // namespace cpgring::campaign
