// A suite: a question about speed, its cases, and its peers. Each suite has a file of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cpgring::bench {

class results;

/// Options of the command line. Empty lists and zeros: the suite's own values, and fewer of them with
/// `quick`.
struct settings {
  std::string service = "cpg";               ///< the service that both sides use; libcpg supports only "cpg"
  std::optional<std::uint32_t> service_uid;  ///< uid that may run it, in addition to root and this user
  bool quick = false;
  int repetitions = 0;
  std::string only;  ///< cases whose names contain this; nothing is opened for the others
  std::vector<std::size_t> handles, bursts, sizes;
  std::vector<double> rates;
  std::chrono::milliseconds length{0};  ///< of one timed run
  std::filesystem::path out;            ///< for the suite's own files; empty: none are written

  [[nodiscard]] bool wanted(std::string_view name) const { return name.find(only) != std::string_view::npos; }
  [[nodiscard]] int repeat(int usual, int in_a_hurry) const {
    return repetitions != 0 ? repetitions : quick ? in_a_hurry : usual;
  }
};

struct suite {
  const char* name;
  const char* question;
  void (*run)(const settings&, results&);
};

void run_dispatch(const settings& s, results& r);
void run_pingpong(const settings& s, results& r);
void run_openloop(const settings& s, results& r);
void run_throughput(const settings& s, results& r);
void run_scale(const settings& s, results& r);
void run_spsc(const settings& s, results& r);
void run_fanout(const settings& s, results& r);
void run_modes(const settings& s, results& r);
void run_workers(const settings& s, results& r);
#ifdef CPGRING_LIBCPG
void run_libcpg(const settings& s, results& r);
#endif

inline constexpr suite suites[] = {
    {"dispatch",
     "CPU time for each waiting event, by handles and burst, against libcpg with epoll and with a thread for "
     "each handle",
     run_dispatch},
    {"pingpong", "time from multicast to own delivery, one message in flight, against libcpg's ONE and ALL",
     run_pingpong},
    {"openloop", "latency from the intended send time at fixed rates up to libcpg's saturation",
     run_openloop},
    {"throughput", "messages per second by size, one handle and many, against the same loop on libcpg",
     run_throughput},
    {"scale", "opening time, memory, mappings, descriptors and idle CPU by number of handles", run_scale},
    {"spsc",
     "the queue from reactor to worker against boost::lockfree::spsc_queue and moodycamel::ReaderWriterQueue",
     run_spsc},
    {"fanout", "one message to all members of a group, against a libcpg process for each member", run_fanout},
    {"modes", "CPU time for each waiting event in each of the four dispatch modes", run_modes},
    {"workers",
     "callbacks on workers against callbacks inline: the cost of the hand-off, the gain of a second core",
     run_workers},
#ifdef CPGRING_LIBCPG
    {"libcpg", "our libcpg.so.4 against the stock one, both loaded into one program", run_libcpg},
#endif
};

}  // namespace cpgring::bench
