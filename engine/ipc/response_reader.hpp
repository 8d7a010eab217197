// Station C6 of 7: from the service, to cpg/pending.
//
// Answers come in the order of the requests, on a ring without a doorbell. Each is matched with what was expected; anything else breaks the
// connection, because from then on every answer would be taken for another request's. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include <cpgring/error.hpp>

#include "base/refuse.hpp"
#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

struct answer {
  std::uint64_t token = 0;
  frame bytes;             // header included; valid until the next call of next()
  std::int32_t error = 0;  // the header's: a cs_error_t, 1 is OK
};

class response_reader {
 public:
  /// libqb's response header: i32 id at 0, i32 size at 8, i32 error at 16.
  static constexpr std::uint32_t header_bytes = 24;
  static constexpr std::int32_t error_ok = 1;

  explicit response_reader(ring_reader& ring) noexcept : ring_(ring) {}

  /// A request has been written whose answer has this id and size. A service may answer any request with a bare header instead: an error.
  void expect(std::uint32_t id, std::uint32_t size, std::uint64_t token);
  [[nodiscard]] std::uint32_t expecting() const noexcept { return static_cast<std::uint32_t>(expected_.size()); }
  /// An answer of `size` bytes would surely find room beside those that are expected already. A stock service drops, without a word, an
  /// answer that does not fit into the ring; and from then on all answers are taken for the wrong ones. So ask before a request is written.
  [[nodiscard]] bool room_for(std::uint32_t size) const noexcept;
  /// The next answer. Gives the one before back to the ring.
  look next(answer& out);
  /// Names the field. Only after `broken`.
  [[nodiscard]] error fault() const;

 private:
  struct expectation {
    std::uint32_t id;
    std::uint32_t size;
    std::uint64_t token;
  };
  look refuse(base::refusal what) noexcept;

  ring_reader& ring_;
  std::deque<expectation> expected_;
  std::uint64_t expected_bytes_ = 0;  // of ring, chunk words included
  base::refusal refused_;
};

}  // namespace cpgring::ipc
