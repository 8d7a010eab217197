// Encodes and decodes the control records of a pack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include <cpgring/result.hpp>

#include "channel/pack_format.hpp"
#include "channel/records.hpp"

namespace cpgring::channel {

/// Gets the payload of each record, in order; valid during the call.
using record_sink = std::function<void(std::uint16_t kind, std::span<const std::byte> payload)>;

void encode(const hello_record& one, const record_sink& to);
/// In parts of pack::part_max. Errors: too_big, if it has more than pack::state_max bytes.
result<void> encode(const state_record& one, const record_sink& to);
/// In several records, if the entries need more than pack::part_max. Precondition: names of at most
/// pack::name_max bytes.
void encode(const join_record& one, const record_sink& to);
void encode(const leave_record& one, const record_sink& to);
/// The fixed part; the bytes of the message follow it in the record.
void encode(const chunk_record& one, std::span<std::byte, pack::chunk_bytes> to);

// The payloads are in private memory: they do not change. Errors: malformed; the text names the field.
result<hello_record> decode_hello(std::span<const std::byte> from);
result<join_record> decode_join(std::span<const std::byte> from);
result<leave_record> decode_leave(std::span<const std::byte> from);
/// The bytes after the first pack::chunk_bytes belong to the message.
result<chunk_record> decode_chunk(std::span<const std::byte> from);

/// Puts the parts of STATE records together, one of each sender at a time.
class state_assembler {
 public:
  /// A part has come. The last one gives the whole record; nothing: parts are missing. Errors: malformed;
  /// what had come of that sender is dropped.
  result<std::optional<state_record>> push(member_address from, std::span<const std::byte> part);
  /// The sender has left the carrier, or has begun another stay.
  void forget(member_address from) { open_.erase(from); }
  void clear() noexcept { open_.clear(); }
  [[nodiscard]] std::size_t open() const noexcept { return open_.size(); }

 private:
  struct partial {
    hello_id id;
    std::uint32_t parts = 0, next = 0, bytes_in_all = 0;
    std::vector<std::byte> bytes;
  };
  static result<state_record> decode(const hello_id& id, std::span<const std::byte> body);

  std::map<member_address, partial> open_;
};

}  // namespace cpgring::channel
