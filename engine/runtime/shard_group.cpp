#include "runtime/shard_group.hpp"

namespace cpgring::runtime {

void shard_group::fail_all(const error& why) {
  {
    const std::lock_guard lock(lock_);
    if (state_) {
      state_ = fail(why);
    }
  }
  for (const auto& stop : stop_) {
    stop();
  }
}

shard_group::presence shard_group::service_up(const std::string& name) {
  const std::lock_guard lock(lock_);
  service& s = services_[name];
  const bool news = std::exchange(s.gone, false);
  s.life += news ? 1 : 0;
  return {s.life, news};
}

bool shard_group::service_gone(const std::string& name, std::uint64_t life) {
  const std::lock_guard lock(lock_);
  service& s = services_[name];
  return s.life == life && !std::exchange(s.gone, true);
}

bool shard_group::add_rings(std::uint64_t bytes) noexcept {
  const std::uint64_t now = ring_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  return ring_room_ != 0 && now > ring_room_ && !warned_of_rings_.exchange(true, std::memory_order_relaxed);
}

result<void> shard_group::state() const {
  const std::lock_guard lock(lock_);
  return state_;
}

}  // namespace cpgring::runtime
