// What `cpgring load` is asked to do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <cpgring/cpgring.hpp>

namespace cpgring::cli {

struct load_options {
  std::string service = "embedded";
  std::optional<std::uint32_t> service_uid;
  std::uint32_t handles = 1000;
  std::uint64_t messages = 400000;
  std::size_t size = 64;
  std::uint64_t rate = 20000;  // a second; 0: as fast as it goes
  std::uint64_t window = 0;    // messages under way at once when rate is 0; 0: from the handles
  mode how = mode::blocking;
  ordering order = ordering::by_handle;
  std::uint64_t work_ns = 0;  // spun in each callback
  std::uint32_t retain = 0;   // messages that each thread keeps leases of
  engine_options engine;
  std::uint32_t max_message_size = 0;  // 0: 64 KiB, or what `size` needs
  std::uint32_t patience_s = 10;
  std::string json;
  std::string hgrm;
  int verbosity = 0;

  [[nodiscard]] bool embedded() const noexcept { return service == "embedded"; }
  /// JSON or a distribution goes to standard output, and so nothing else does.
  [[nodiscard]] bool prints_a_file() const noexcept { return json == "-" || hgrm == "-"; }
  [[nodiscard]] std::uint64_t messages_under_way() const noexcept;
  /// Options that do not go together: what is wrong, and what to do.
  [[nodiscard]] result<void> settle();
  /// Whether descriptors, mappings and /dev/shm of this machine are enough; raises the soft limit of descriptors.
  [[nodiscard]] result<void> check_limits() const;
};

}  // namespace cpgring::cli
