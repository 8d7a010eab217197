// Reads any bytes as packs of a carrier: each record lies inside its pack, and each control record is decoded
// or refused. What is decoded goes into a table, as from a member of the carrier.
//
// Input: packs, each preceded by the number of its sender (1 byte) and its size (2 bytes).
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "channel/control_codec.hpp"
#include "channel/pack_reader.hpp"
#include "channel/table.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::channel;

void demand(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

constexpr std::uint32_t senders = 4;  // the first is this process

class receiver final : public table_listener {
 public:
  receiver() : table_({1, 0}, 0, *this) {
    std::vector<member> all;
    for (std::uint32_t pid = 0; pid < senders; ++pid) {
      all.push_back({1, pid, 0, reason::join, true});
    }
    static_cast<void>(table_.join("a"));
    table_.carrier_view(all, all, {}, now_);
    table_.advance(now_);
  }

  void take(member_address from, std::byte* at, std::size_t size) {
    pack_header header;
    auto reader = pack_reader::open(at, size, header);
    if (!reader) {
      return;
    }
    pack_record one;
    while (!lost_ && reader->next(one) == pack_reader::step::record) {
      demand(one.data >= at && one.data + one.size <= at + size);
      record(from, header.stay, one);
    }
    table_.advance(now_ += std::chrono::milliseconds(10));
    demand(table_.component_size() >= 1 && table_.component_size() <= senders);
  }

  void send(const hello_record& one) override {
    table_.deliver({1, 0}, 0, one);  // its own, which comes back
  }
  void send(const state_record& one) override { table_.deliver({1, 0}, 0, one); }
  void send(const join_record& /*one*/) override {}
  void send(const leave_record& /*one*/) override {}
  void changed(const light_view& now) override {
    demand(now.channel != no_channel && now.joined.size() + now.left.size() != 0);
    for (std::size_t i = 1; i < now.members.size(); ++i) {
      demand(now.members[i - 1].at < now.members[i].at);
    }
  }
  void restart_transfer(std::uint32_t /*channel*/) override {}
  void inconsistent(error why) override {
    demand(!why.message().empty());
    lost_ = true;
  }

 private:
  void record(member_address from, std::uint64_t stay, const pack_record& one) {
    const std::vector<std::byte> bytes(one.data, one.data + one.size);
    if (one.kind < pack::optional) {
      if (const process* const sender = table_.sender(from, stay)) {
        static_cast<void>(table_.receives(*sender, one.kind));
      }
    } else if (one.kind == pack::hello) {
      if (const auto got = decode_hello(bytes)) {
        table_.deliver(from, stay, *got);
      }
    } else if (one.kind == pack::state) {
      if (const auto got = states_.push(from, bytes); got && *got) {
        table_.deliver(from, stay, **got);
      }
    } else if (one.kind == pack::join) {
      if (const auto got = decode_join(bytes); got && from != member_address{1, 0}) {
        table_.deliver(from, stay, *got);
      }
    } else if (one.kind == pack::leave) {
      if (const auto got = decode_leave(bytes); got && from != member_address{1, 0}) {
        table_.deliver(from, stay, *got);
      }
    } else if (one.kind == pack::chunk) {
      if (const auto got = decode_chunk(bytes)) {
        table_.large().first(from, 0, got->transfer);
        static_cast<void>(table_.large().last(from, 0, got->transfer));
      }
    }
  }

  base::time_point now_{std::chrono::seconds(1)};
  table table_;
  state_assembler states_;
  bool lost_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  receiver r;
  while (size >= 3) {
    const member_address from{1, data[0] % senders};
    std::uint16_t wanted = 0;
    std::memcpy(&wanted, data + 1, 2);
    data += 3;
    size -= 3;
    const std::size_t length = wanted < size ? wanted : size;
    // A copy that ends with the pack, so that the sanitizer detects a read beyond it.
    const std::unique_ptr<std::byte[]> pack(new std::byte[length]);
    std::memcpy(pack.get(), data, length);
    r.take(from, pack.get(), length);
    data += length;
    size -= length;
  }
  return 0;
}
