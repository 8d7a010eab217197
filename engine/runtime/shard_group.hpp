// State that the shards of one engine share: if one of them fails, all stop. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <cpgring/result.hpp>

#include "base/limits.hpp"

namespace cpgring::runtime {

class shard_group {
 public:
  /// Before any shard is driven. `stop`: stops one shard.
  void add(std::function<void()> stop) { stop_.push_back(std::move(stop)); }
  /// Keeps the first error, and stops all shards.
  void fail_all(const error& why);
  /// The error that fail_all() kept.
  [[nodiscard]] result<void> state() const;

  struct presence {
    std::uint64_t life = 0;  // counts the service's returns
    bool news = false;
  };
  /// A handle is connected to the service. `news`: the service had been gone.
  presence service_up(const std::string& name);
  /// A handle that was connected in `life` is lost. True: the first one, and the service has not returned.
  bool service_gone(const std::string& name, std::uint64_t life);

  /// Adds `bytes` of rings. True once: all rings together are larger than /dev/shm.
  bool add_rings(std::uint64_t bytes) noexcept;
  void remove_rings(std::uint64_t bytes) noexcept { ring_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept {
    return ring_bytes_.load(std::memory_order_relaxed);
  }
  /// The capacity of /dev/shm; 0: not known.
  [[nodiscard]] std::uint64_t ring_room() const noexcept { return ring_room_; }

 private:
  struct service {
    std::uint64_t life = 0;
    bool gone = false;
  };
  std::vector<std::function<void()>> stop_;
  mutable std::mutex lock_;
  result<void> state_;
  std::map<std::string, service> services_;
  const std::uint64_t ring_room_ = base::shared_memory_size();
  std::atomic<std::uint64_t> ring_bytes_{0};  // of all open handles
  std::atomic<bool> warned_of_rings_{false};
};

}  // namespace cpgring::runtime
