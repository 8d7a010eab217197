// Station C10 of 11: from the service, to cpg/pending.
//
// Matches each answer with the oldest request that expects one.
//
// Answers come in the order of the requests, on a ring without a doorbell. An answer that does not match ends
// the connection, because every later one would be taken for the answer of another request. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include <cpgring/error.hpp>

#include "base/refusal.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

struct answer {
  std::uint64_t token = 0;
  frame bytes;             // with its header; valid until the next call of next()
  std::int32_t error = 0;  // from the header: a cs_error_t, 1 is OK
};

class response_reader {
 public:
  /// libqb's response header: i32 id at 0, i32 size at 8, i32 error at 16.
  static constexpr std::uint32_t header_bytes = 24;
  static constexpr std::int32_t error_ok = 1;

  explicit response_reader(ring_reader& ring) noexcept : ring_(ring) {}

  /// A request was written whose answer has this id and size. A service may answer any request with a bare
  /// header and an error instead.
  void expect(std::uint32_t id, std::uint32_t size, std::uint64_t token);
  [[nodiscard]] std::uint32_t expecting() const noexcept {
    return static_cast<std::uint32_t>(expected_.size());
  }
  /// True if an answer of `size` bytes certainly fits beside those that are expected already. A stock service
  /// silently drops an answer that does not fit into the ring, and every later answer would then be matched
  /// with the wrong request. So check before a request is written.
  [[nodiscard]] bool room_for(std::uint32_t size) const noexcept;
  /// Gets the next answer, and reclaims the one before.
  read_result next(answer& out);
  /// Names the field. Only after read_result::broken.
  [[nodiscard]] error fault() const;

 private:
  struct expectation {
    std::uint32_t id;
    std::uint32_t size;
    std::uint64_t token;
  };
  read_result refuse(base::refusal what) noexcept;

  ring_reader& ring_;
  std::deque<expectation> expected_;
  std::uint64_t expected_bytes_ = 0;  // bytes of the ring, length and magic included
  base::refusal refused_;
};

}  // namespace cpgring::ipc
