// Encodes every request that this library sends, and decodes the answers.
//
// Pure functions, for the session and for the drop-in libcpg. Each byte of a request is set, padding
// included, so that no bytes of earlier messages leak through shared memory. Answers are foreign bytes: each
// field is read once and bounded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include <cpgring/error.hpp>
#include <cpgring/view.hpp>

#include "base/checked_read.hpp"
#include "cpg/encode.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

/// The bytes of an answer in the response ring, header included; valid until the next answer is taken.
using answer_bytes = std::span<const std::byte>;

/// The answer of a service that grants the request. A service that refuses may answer with a bare header.
struct answer_format {
  wire::response id{};
  std::uint32_t size = 0;
};

/// A request without a payload.
class encoded_request {
 public:
  encoded_request() = default;
  encoded_request(wire::request id, std::size_t size, answer_format answer) noexcept;

  [[nodiscard]] std::byte* data() noexcept { return bytes_.data(); }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), size_}; }
  [[nodiscard]] const answer_format& answer() const noexcept { return answer_; }

 private:
  std::array<std::byte, wire::join_request::bytes> bytes_{};
  std::uint32_t size_ = 0;
  answer_format answer_;
};

// Precondition of `group`: at most wire::name_text_max bytes.
encoded_request encode_join(std::string_view group, std::uint32_t pid, std::uint32_t flags) noexcept;
encoded_request encode_leave(std::string_view group, std::uint32_t pid) noexcept;
encoded_request encode_local_get() noexcept;
encoded_request encode_finalize() noexcept;
/// `type`: see wire::iteration_initialize_request.
encoded_request encode_iteration_begin(std::uint32_t type, std::string_view group) noexcept;
encoded_request encode_iteration_next(std::uint64_t iteration) noexcept;
encoded_request encode_iteration_end(std::uint64_t iteration) noexcept;

/// The guarantee field of a multicast: agreed. Services ignore it.
inline constexpr std::uint32_t guarantee_agreed = 2;

/// Writes the wire::multicast_request::data bytes before a payload of `payload` bytes.
inline void put_multicast_header(std::byte* at, std::size_t payload) noexcept {
  namespace w = wire::multicast_request;
  std::memset(at, 0, w::data);
  put_header(at, wire::request::multicast, w::data + payload);
  put(at + w::guarantee, guarantee_agreed);
  put(at + w::length, static_cast<std::uint32_t>(payload));
}

/// Writes the wire::partial_multicast_request::data bytes before a fragment of `payload` bytes.
inline void put_fragment_header(std::byte* at, std::size_t total, std::size_t payload,
                                wire::fragment_type type) noexcept {
  namespace w = wire::partial_multicast_request;
  std::memset(at, 0, w::data);
  put_header(at, wire::request::partial_multicast, w::data + payload);
  put(at + w::guarantee, guarantee_agreed);
  put(at + w::total, static_cast<std::uint32_t>(total));
  put(at + w::length, static_cast<std::uint32_t>(payload));
  put(at + w::type, static_cast<std::uint32_t>(type));
}

/// The type of the fragment of `part` bytes at `offset` of a message of `total` bytes.
constexpr wire::fragment_type fragment_type_of(std::size_t offset, std::size_t part,
                                               std::size_t total) noexcept {
  return offset == 0              ? wire::fragment_type::first
         : offset + part == total ? wire::fragment_type::last
                                  : wire::fragment_type::middle;
}
inline constexpr answer_format fragment_answer{wire::response::partial_multicast,
                                               wire::response_header_bytes};

/// The status in the header of an answer. Precondition: `answer` contains a header.
inline std::int32_t status_of(answer_bytes answer) noexcept {
  return base::read_once_i32(answer.data() + wire::header_error);
}
/// The service can't grant the request now, but may do so later.
constexpr bool asks_for_a_retry(std::int32_t status) noexcept {
  return status == wire::status::try_again || status == wire::status::busy;
}
/// The error code of a refusal; errc::library for a number that is no status.
errc errc_of_status(std::int32_t status) noexcept;
/// "the service refused <what>: ..."
error service_error(std::int32_t status, std::string_view what);

// The content of an answer that grants. Empty: the service refused, or the answer is shorter than its fields.
std::optional<std::uint32_t> decode_local_node(answer_bytes answer) noexcept;
std::optional<std::uint64_t> decode_iteration(answer_bytes answer) noexcept;
struct iteration_row {
  std::string_view group;  // refers to the answer
  member_address who;
};
std::optional<iteration_row> decode_iteration_row(answer_bytes answer) noexcept;

}  // namespace cpgring::cpg
