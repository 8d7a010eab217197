// A ring made and used by libqb itself, as the peer of our reader and writer.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <qb/qbrb.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/shared_ring.hpp"
#include "unit/ipc/raw_ring.hpp"

namespace cpgring::ipc::test {

/// The largest message whose ring is one page: W = 1024.
inline constexpr std::uint32_t one_page = 4096 - 13;

class qb_ring {
 public:
  explicit qb_ring(std::uint32_t max_message_size)
      : name_(fresh_name("qb")),
        max_message_size_(max_message_size),
        ring_(qb_rb_open(name_.c_str(), max_message_size, QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS,
                         sizeof(std::int32_t))) {
    if (ring_ == nullptr) {
      std::perror("qb_rb_open");
      std::abort();
    }
  }
  qb_ring(const qb_ring&) = delete;
  qb_ring& operator=(const qb_ring&) = delete;
  ~qb_ring() {
    qb_rb_close(ring_);
    ::unlink((base() + "-header").c_str());
    ::unlink((base() + "-data").c_str());
  }

  [[nodiscard]] std::string base() const { return "/dev/shm/qb-" + name_; }
  [[nodiscard]] shared_ring open_ours() const {
    auto ring = open_ring(base(), max_message_size_, true);
    if (!ring) {
      std::fprintf(stderr, "%s\n", ring.error().message().c_str());
      std::abort();
    }
    return std::move(*ring);
  }
  [[nodiscard]] qb_ringbuffer_t* get() const { return ring_; }

  /// False: no room.
  [[nodiscard]] bool write(std::string_view bytes) const {
    const ssize_t n = qb_rb_chunk_write(ring_, bytes.data(), bytes.size());
    if (n >= 0 && static_cast<std::size_t>(n) == bytes.size()) {
      return true;
    }
    if (n != -EAGAIN) {
      std::fprintf(stderr, "qb_rb_chunk_write: %zd\n", n);
      std::abort();
    }
    return false;
  }
  /// Empty: no chunk. Any other error ends the test program.
  [[nodiscard]] std::optional<std::string> read() const {
    std::string bytes(max_message_size_ + 16, '\0');
    const ssize_t n = qb_rb_chunk_read(ring_, bytes.data(), bytes.size(), 0);
    if (n == -ETIMEDOUT || n == -EAGAIN) {
      return std::nullopt;
    }
    if (n < 0) {
      std::fprintf(stderr, "qb_rb_chunk_read: %zd\n", n);
      std::abort();
    }
    bytes.resize(static_cast<std::size_t>(n));
    return bytes;
  }

 private:
  std::string name_;
  std::uint32_t max_message_size_;
  qb_ringbuffer_t* ring_;
};

/// `size` pseudo-random bytes that depend on the seed.
inline std::string pattern(std::size_t size, std::uint64_t seed) {
  std::string bytes(size, '\0');
  std::uint64_t x = seed * 0x9E3779B97F4A7C15U + 1;
  for (auto& b : bytes) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    b = static_cast<char>(x >> 56);
  }
  return bytes;
}

/// `size` bytes in which every second word is the magic of a ready chunk, next to a plausible length. As old
/// payload in the ring it deceives a reader that looks ahead by magics.
inline std::string bait(std::size_t size, std::uint64_t seed) {
  std::string bytes;
  while (bytes.size() < size) {
    const std::uint32_t length = static_cast<std::uint32_t>(seed++ % 41);
    const std::uint32_t words[] = {seed % 2 != 0 ? length : cf::magic_ready,
                                   seed % 2 != 0 ? cf::magic_ready : length};
    bytes.append(reinterpret_cast<const char*>(words), sizeof words);
    seed = seed * 6364136223846793005U + 1442695040888963407U;
  }
  bytes.resize(size);
  return bytes;
}

/// pattern() for every third seed, else bait().
inline std::string payload(std::size_t size, std::uint64_t seed) {
  return seed % 3 == 0 ? pattern(size, seed) : bait(size, seed);
}

template <class Frame>
inline std::string_view text(const Frame& f) {
  return {reinterpret_cast<const char*>(f.data), f.size};
}

}  // namespace cpgring::ipc::test
