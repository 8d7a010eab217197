// Fills the packs of one carrier and says when each may be sent.
//
// The clock is the carrier's order itself: a pack is sent at once while few own packs are under way, and
// otherwise waits until one comes back, or until it is full. So an idle carrier delays nothing, a busy one
// fills its packs, and there is no timer. HELLO and STATE go first; joins, leaves and messages follow in the
// order of the calls; pieces of large messages come last, one of each transfer in turn.
//
// Pure; one thread. No allocation per message: buffers are used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "channel/pack_format.hpp"
#include "channel/records.hpp"

namespace cpgring::channel {

struct packing {
  /// Own packs under way, up to which a pack is sent at once. With more, a round trip that grows lets packs
  /// grow.
  std::uint32_t packs_max = 4;
  /// A pack with this many bytes is full. Full packs are sent until `bytes_max` bytes are under way.
  std::uint32_t pack_bytes = 16 * 1024;
  std::uint32_t bytes_max = 512 * 1024;
  /// Bytes of a large message in one pack, and such packs under way while messages wait, and while none does.
  std::uint32_t chunk_bytes = 32 * 1024;
  std::uint32_t chunks_beside_messages = 2, chunks_alone = 16;
};

class packer {
 public:
  /// `stay`: the low half of the own stay in the carrier's group.
  explicit packer(std::uint32_t stay, const packing& how = {}) : stay_(stay), how_(how) {}

  // --- what is to be sent ----------------------------------------------------------------------------------
  /// Room for the payload of a message, a join or a leave; write it before the next call.
  [[nodiscard]] std::byte* add(std::uint16_t kind, std::size_t size);
  /// A HELLO, or a part of a STATE: goes before everything that waits.
  void add_first(std::uint16_t kind, std::span<const std::byte> payload);
  /// A large message, of more than packing::chunk_bytes. `bytes` is kept until its last piece was sent, or it
  /// was cancelled.
  void begin_transfer(alias as, std::uint32_t number, std::shared_ptr<const std::vector<std::byte>> bytes);
  /// What was not sent of a transfer is dropped.
  void cancel_transfer(std::uint32_t number);

  // --- sending ---------------------------------------------------------------------------------------------
  /// The pack to be multicast now; valid until the next call. Nothing: nothing waits, or it waits for an own
  /// pack to come back. If the multicast is refused, ask again later.
  [[nodiscard]] std::optional<std::span<const std::byte>> next();
  /// The pack that next() returned was multicast.
  void sent();
  /// The oldest own pack that was under way has been delivered.
  void came_back();

  [[nodiscard]] std::size_t under_way() const noexcept { return under_way_.size(); }
  [[nodiscard]] std::size_t bytes_under_way() const noexcept { return bytes_under_way_; }
  /// Bytes of records that wait, without large messages.
  [[nodiscard]] std::size_t bytes_waiting() const noexcept { return bytes_waiting_; }
  [[nodiscard]] bool idle() const noexcept {
    return first_.empty() && waiting_.empty() && transfers_.empty();
  }
  [[nodiscard]] std::uint32_t packs_sent() const noexcept { return packs_sent_; }

 private:
  enum class lane { first, messages, transfers };
  using buffer = std::vector<std::byte>;
  struct transfer {
    alias as;
    std::uint32_t number;
    std::shared_ptr<const std::vector<std::byte>> bytes;
    std::size_t sent;
  };
  struct on_its_way {
    std::size_t bytes;
    lane from;
  };

  [[nodiscard]] bool fits(const buffer& pack, std::size_t size) const noexcept;
  static std::byte* append(buffer& pack, std::uint16_t kind, std::size_t size);
  [[nodiscard]] buffer take_buffer();
  std::span<const std::byte> with_header(buffer& pack, lane from);
  [[nodiscard]] bool may_send_messages() const noexcept;
  [[nodiscard]] bool may_send_chunk() const noexcept;
  std::span<const std::byte> next_chunk();

  const std::uint32_t stay_;
  const packing how_;
  std::deque<buffer> first_, waiting_;  // packs, oldest first; the last one is open
  std::deque<transfer> transfers_;      // the next one in turn is first
  buffer chunk_;
  std::size_t chunk_end_ = 0;  // bytes of the transfer that are sent with chunk_
  std::vector<buffer> spare_;
  std::optional<lane> offered_;  // by next()
  std::size_t offered_bytes_ = 0;
  std::deque<on_its_way> under_way_;
  std::size_t bytes_under_way_ = 0, bytes_waiting_ = 0;
  std::uint32_t packs_under_way_ = 0, chunks_under_way_ = 0;
  std::uint32_t packs_sent_ = 0;
};

}  // namespace cpgring::channel
