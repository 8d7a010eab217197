#include "channel/packer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "base/put.hpp"
#include "channel/control_codec.hpp"
#include "channel/pack_writer.hpp"

namespace cpgring::channel {
namespace {

constexpr std::size_t spare_max = 8;

}  // namespace

// --- what is to be sent ------------------------------------------------------------------------------------

bool packer::fits(const buffer& pack, std::size_t size) const noexcept {
  return pack.size() + pack::record_header_bytes + pack::padded(size) <= how_.pack_bytes;
}

std::byte* packer::append(buffer& pack, std::uint16_t kind, std::size_t size) {
  const std::size_t at = pack.size();
  pack.resize(at + pack::record_header_bytes + pack::padded(size));  // the padding is 0
  if (kind >= pack::optional) {
    base::put(pack.data() + pack::flags_at, pack::has_control);
  }
  return put_record_header(pack.data() + at, kind, size);
}

packer::buffer packer::take_buffer() {
  buffer one;
  if (spare_.empty()) {
    one.reserve(how_.pack_bytes);
  } else {
    one = std::move(spare_.back());
    spare_.pop_back();
  }
  one.assign(pack::header_bytes, std::byte{0});
  return one;
}

std::byte* packer::add(std::uint16_t kind, std::size_t size) {
  CPGRING_CHECK(size <= pack::record_max);
  if (waiting_.empty() || !fits(waiting_.back(), size)) {
    waiting_.push_back(take_buffer());
  }
  bytes_waiting_ += pack::record_header_bytes + pack::padded(size);
  return append(waiting_.back(), kind, size);
}

void packer::add_first(std::uint16_t kind, std::span<const std::byte> payload) {
  CPGRING_CHECK(payload.size() <= pack::record_max);
  if (first_.empty() || !fits(first_.back(), payload.size())) {
    first_.push_back(take_buffer());
  }
  bytes_waiting_ += pack::record_header_bytes + pack::padded(payload.size());
  std::byte* const at = append(first_.back(), kind, payload.size());
  if (!payload.empty()) {
    std::memcpy(at, payload.data(), payload.size());
  }
}

void packer::begin_transfer(alias as, std::uint32_t number,
                            std::shared_ptr<const std::vector<std::byte>> bytes) {
  CPGRING_CHECK(bytes->size() > how_.chunk_bytes);
  transfers_.push_back({as, number, std::move(bytes), 0});
}

void packer::cancel_transfer(std::uint32_t number) {
  std::erase_if(transfers_, [number](const transfer& one) { return one.number == number; });
  if (offered_ == lane::transfers) {
    offered_.reset();
  }
}

// --- sending -----------------------------------------------------------------------------------------------

bool packer::may_send_messages() const noexcept {
  if (waiting_.empty()) {
    return false;
  }
  const bool full = waiting_.size() > 1 || waiting_.front().size() >= how_.pack_bytes;
  return packs_under_way_ < how_.packs_max || (full && bytes_under_way_ < how_.bytes_max);
}

bool packer::may_send_chunk() const noexcept {
  const std::uint32_t most = waiting_.empty() ? how_.chunks_alone : how_.chunks_beside_messages;
  return !transfers_.empty() && chunks_under_way_ < most;
}

std::span<const std::byte> packer::with_header(buffer& pack, lane from) {
  put_pack_header(pack.data(), stay_, packs_sent_ + 1);
  offered_ = from;
  offered_bytes_ = pack.size();
  return pack;
}

std::span<const std::byte> packer::next_chunk() {
  const transfer& one = transfers_.front();
  const std::size_t size = std::min<std::size_t>(how_.chunk_bytes, one.bytes->size() - one.sent);
  chunk_end_ = one.sent + size;
  chunk_record head{one.as, chunk_record::part::middle, one.number, one.bytes->size(), one.sent};
  if (one.sent == 0) {
    head.which = chunk_record::part::first;
  } else if (chunk_end_ == one.bytes->size()) {
    head.which = chunk_record::part::last;
  }
  chunk_.assign(pack::header_bytes, std::byte{0});
  std::byte* const at = append(chunk_, pack::chunk, pack::chunk_bytes + size);
  encode(head, std::span<std::byte, pack::chunk_bytes>(at, pack::chunk_bytes));
  std::memcpy(at + pack::chunk_bytes, one.bytes->data() + one.sent, size);
  return with_header(chunk_, lane::transfers);
}

std::optional<std::span<const std::byte>> packer::next() {
  offered_.reset();
  if (!first_.empty()) {
    return with_header(first_.front(), lane::first);
  }
  if (may_send_messages()) {
    return with_header(waiting_.front(), lane::messages);
  }
  if (may_send_chunk()) {
    return next_chunk();
  }
  return std::nullopt;
}

void packer::sent() {
  CPGRING_CHECK(offered_.has_value());
  const lane from = *std::exchange(offered_, std::nullopt);
  ++packs_sent_;
  under_way_.push_back({offered_bytes_, from});
  if (from == lane::transfers) {
    ++chunks_under_way_;
    transfer one = std::move(transfers_.front());
    transfers_.pop_front();
    one.sent = chunk_end_;
    if (one.sent < one.bytes->size()) {
      transfers_.push_back(std::move(one));
    }
    return;
  }
  bytes_under_way_ += offered_bytes_;
  packs_under_way_ += from == lane::messages ? 1U : 0U;
  bytes_waiting_ -= offered_bytes_ - pack::header_bytes;
  auto& packs = from == lane::first ? first_ : waiting_;
  if (spare_.size() < spare_max && packs.front().capacity() <= 2 * how_.pack_bytes) {
    spare_.push_back(std::move(packs.front()));
  }
  packs.pop_front();
}

void packer::came_back() {
  CPGRING_CHECK(!under_way_.empty());
  const on_its_way one = under_way_.front();
  under_way_.pop_front();
  if (one.from == lane::transfers) {
    --chunks_under_way_;
    return;
  }
  bytes_under_way_ -= one.bytes;
  packs_under_way_ -= one.from == lane::messages ? 1U : 0U;
}

}  // namespace cpgring::channel
