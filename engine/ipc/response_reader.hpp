// Station C6 of 7: from the service, to cpg/pending.
//
// Answers come in the order of the requests, on a ring without a doorbell. Each is matched with what was expected; anything else breaks the connection, because
// from then on every answer would be taken for another request's. One thread.
#pragma once

#include <cstdint>
#include <deque>

#include <cpgring/error.hpp>

#include "ipc/ring_reader.hpp"

namespace cpgring::ipc {

struct answer {
  std::uint64_t token = 0;
  frame bytes;  // header included; valid until the next call of next()
};

class response_reader {
 public:
  // libqb's response header: i32 id, i32 size at 8, i32 error at 16.
  static constexpr std::uint32_t header_bytes = 24;

  explicit response_reader(ring_reader& ring) noexcept : ring_(ring) {}

  /// A request has been written whose answer has this id and size. A service may answer any request with a bare header instead (an error).
  void expect(std::uint32_t id, std::uint32_t size, std::uint64_t token) { expected_.push_back({id, size, token}); }
  [[nodiscard]] bool expecting() const noexcept { return !expected_.empty(); }
  look next(answer& out);
  [[nodiscard]] error fault() const { return fault_; }

 private:
  struct expectation {
    std::uint32_t id;
    std::uint32_t size;
    std::uint64_t token;
  };
  look refuse(const char* field, std::uint64_t value, std::uint64_t expected);

  ring_reader& ring_;
  std::deque<expectation> expected_;
  error fault_{errc::malformed};
};

}  // namespace cpgring::ipc
