// The options of `cpgring load`.
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
  std::uint64_t rate = 20000;  // per second; 0: as fast as possible
  std::uint64_t window = 0;    // messages in flight if rate is 0; 0: depends on the handles
  mode how = mode::blocking;
  ordering order = ordering::by_handle;
  std::uint64_t work_ns = 0;  // busy work in each callback
  std::uint32_t retain = 0;   // messages that each thread retains
  engine_options engine;
  std::uint32_t ring_bytes = 0;  // 0: 64 KiB, or what `size` needs
  std::uint32_t patience_s = 10;
  std::string json;
  std::string hgrm;
  int verbosity = 0;

  [[nodiscard]] bool embedded() const noexcept { return service == "embedded"; }
  /// JSON or a distribution goes to standard output, so nothing else may.
  [[nodiscard]] bool prints_a_file() const noexcept { return json == "-" || hgrm == "-"; }
  [[nodiscard]] std::uint64_t messages_under_way() const noexcept;
  /// Fills in options that depend on others. Errors: options that exclude each other; the text says what to
  /// do.
  [[nodiscard]] result<void> complete();
  /// Checks that this machine has enough descriptors, mappings and /dev/shm. Raises the soft limit of
  /// descriptors.
  [[nodiscard]] result<void> check_limits() const;
};

}  // namespace cpgring::cli
