// Decodes any bytes as events of the service: each is decoded within its frame, or refused with the field
// named. Decoded events go through the fragment assembler and the view builder, as in a session.
//
// Input: events, each preceded by its size (2 bytes).
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "cpg/codec.hpp"
#include "cpg/fragment_assembler.hpp"
#include "cpg/view_builder.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;

void demand(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

constexpr std::size_t message_max = 65536;

class receiver {
 public:
  void take(std::byte* frame, std::uint32_t size) {
    event e;
    demand(decode(frame, size, "group", e) != event_kind::broken || e.to_error() == errc::malformed);
    switch (decode(frame, size, e)) {
      case event_kind::deliver: return inside(e.message.data, e.message.size, frame, size);
      case event_kind::configuration: {
        const view& v = views_.apply(e.membership, "group");
        demand(v.members.size() == e.membership.members && v.joined.size() == e.membership.joined &&
               v.left.size() == e.membership.left);
        for (const member& gone : v.left) {
          static_cast<void>(assembler_.left(gone.node_id, gone.pid));
        }
        return;
      }
      case event_kind::totem_configuration:
        demand(views_.apply(e.ring, "group").ring_nodes.size() == e.ring.count);
        return;
      case event_kind::fragment: {
        inside(e.piece.data, e.piece.size, frame, size);
        const auto outcome = assembler_.push(e.piece);
        demand(!outcome.message || outcome.message->size() <= message_max);
        demand(assembler_.bytes_held() <= 2 * message_max &&
               assembler_.open() <= fragment_assembler::open_max);
        return;
      }
      case event_kind::broken:
        demand(e.to_error() == errc::malformed && !e.to_error().message().empty());
        return;
    }
  }

 private:
  static void inside(const std::byte* data, std::uint32_t size, const std::byte* frame,
                     std::uint32_t frame_size) {
    demand(data >= frame && data + size <= frame + frame_size);
  }
  fragment_assembler assembler_{message_max, 2 * message_max};
  view_builder views_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  receiver r;
  while (size >= 2) {
    std::uint16_t wanted = 0;
    std::memcpy(&wanted, data, 2);
    data += 2;
    size -= 2;
    const std::size_t length = wanted < size ? wanted : size;
    // A copy that ends with the event, so that the sanitizer detects a read beyond it.
    const std::unique_ptr<std::byte[]> frame(new std::byte[length]);
    std::memcpy(frame.get(), data, length);
    r.take(frame.get(), static_cast<std::uint32_t>(length));
    data += length;
    size -= length;
  }
  return 0;
}
