// cpgring dump: decodes the files of libqb rings, of a running program or of one that is gone.
#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/numbers.hpp"
#include "cli/output.hpp"
#include "cli/ring_files.hpp"
#include "cli/text.hpp"
#include "inspect/content.hpp"
#include "inspect/ring.hpp"

namespace cpgring::cli {
namespace {

using inspect::ring_kind;

enum class decoding { by_name, request, response, event, none };
const std::map<std::string, decoding> decodings{{"auto", decoding::by_name},
                                                {"request", decoding::request},
                                                {"response", decoding::response},
                                                {"event", decoding::event},
                                                {"none", decoding::none}};

struct dump_options {
  std::vector<std::string> files;
  decoding as = decoding::by_name;
  std::uint64_t shown_bytes = 32;
};

ring_kind kind_of(const inspect::ring_name& name, decoding as) {
  switch (as) {
    case decoding::by_name: return inspect::may_be_cpg(name.service) ? name.kind : ring_kind::unknown;
    case decoding::request: return ring_kind::request;
    case decoding::response: return ring_kind::response;
    case decoding::event: return ring_kind::event;
    case decoding::none: break;
  }
  return ring_kind::unknown;
}

std::string bytes_text(std::span<const std::byte> bytes, std::uint64_t shown_max) {
  const auto shown = std::min<std::uint64_t>(bytes.size(), shown_max);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), shown);
  return fmt::format(" \"{}\"{}", printable(text), shown < bytes.size() ? "..." : "");
}

void append_members(std::string& to, std::string_view name, const std::vector<member>& members) {
  if (members.empty()) {
    return;
  }
  fmt::format_to(std::back_inserter(to), "; {}", name);
  for (const auto& one : members) {
    fmt::format_to(std::back_inserter(to), " {}:{}", one.node_id, one.pid);
    if (one.why != reason::none) {
      fmt::format_to(std::back_inserter(to), " ({})", cpgring::to_string(one.why));
    }
  }
}

void append_sender(std::string& to, const inspect::content& c) {
  if (c.node && c.pid) {
    fmt::format_to(std::back_inserter(to), " from {}:{}", *c.node, *c.pid);
  } else if (c.node) {
    fmt::format_to(std::back_inserter(to), ", node {}", *c.node);
  } else if (c.pid) {
    fmt::format_to(std::back_inserter(to), ", pid {}", *c.pid);
  }
}

std::string content_text(const inspect::content& c, std::uint64_t shown_max) {
  std::string text = c.what;
  if (!c.fragment.empty()) {
    fmt::format_to(std::back_inserter(text), ", the {} one", c.fragment);
  }
  if (c.group) {
    fmt::format_to(std::back_inserter(text), ", group '{}'", printable(*c.group));
  }
  append_sender(text, c);
  if (!c.status.empty()) {
    fmt::format_to(std::back_inserter(text), ", {}", c.status);
  }
  if (c.iteration) {
    fmt::format_to(std::back_inserter(text), ", iteration {:#x}", *c.iteration);
  }
  if (c.data) {
    fmt::format_to(std::back_inserter(text), ", {} bytes", c.data->size());
    if (c.total) {
      fmt::format_to(std::back_inserter(text), " of {}", *c.total);
    }
    text += bytes_text(*c.data, shown_max);
  }
  append_members(text, "members", c.members);
  append_members(text, "left", c.left);
  append_members(text, "joined", c.joined);
  if (c.ring) {
    fmt::format_to(std::back_inserter(text), " {}.{}; nodes {}", c.ring->node_id, c.ring->sequence,
                   fmt::join(c.ring_nodes, " "));
  }
  if (!c.wrong.empty()) {
    fmt::format_to(std::back_inserter(text), "{}does not decode: {}", text.empty() ? "" : "; ", c.wrong);
  }
  return text;
}

std::string head_text(const std::string& base, const inspect::ring_name& name, const inspect::ring& r) {
  const double percent = r.words != 0 ? 100.0 * r.used_words / r.words : 0;
  std::string text = fmt::format("{}: {}", printable_text(base), inspect::to_string(name.kind));
  if (!name.service.empty()) {
    text += fmt::format(" of service '{}'", printable(name.service));
  }
  text += fmt::format(
      "\n  size          {} words, {} bytes\n"
      "  positions     read {}, write {}\n"
      "  in use        {} words, {:.1f} %; room for a payload of {} bytes\n"
      "  semaphore     {} not yet taken by the reader; {} threads sleep on it\n"
      "  references    {}\n",
      r.words, std::uint64_t{r.words} * 4, r.read_position, r.write_position, r.used_words, percent,
      r.payload_room, r.counted, r.sleepers, r.references);
  if (name.kind == ring_kind::request) {
    text += fmt::format("  flow control  {}\n", r.user_word == 0 ? "off" : "on: nothing may be written");
  }
  return text;
}

std::string state_text(const inspect::chunk& c) {
  return c.state == inspect::chunk_state::ready     ? c.taken ? "taken" : "ready"
         : c.state == inspect::chunk_state::unknown ? fmt::format("{:#010x}", c.magic)
                                                    : std::string(inspect::to_string(c.state));
}

/// Prints the chunks. True: each of them decodes.
bool print_chunks(const inspect::ring& r, const ring_copy& copy, ring_kind kind, std::uint64_t shown_max) {
  constexpr std::size_t flushed_at = std::size_t{1} << 16;
  bool good = true;
  std::string text = fmt::format("  {} chunks\n", r.chunks.size());
  if (!r.chunks.empty()) {
    text += fmt::format("  {:>9} {:>9}  {:<13}  content\n", "word", "bytes", "state");
  }
  for (const auto& c : r.chunks) {
    std::string what;
    if (c.has_payload()) {
      auto payload = inspect::payload_of(r, c, copy.data);
      if (kind == ring_kind::unknown) {
        what = bytes_text(payload, shown_max).substr(1);
      } else {
        const auto found = inspect::describe_content(kind, payload);
        what = content_text(found, shown_max);
        good = good && found.wrong.empty();
      }
    }
    text += fmt::format("  {:>9} {:>9}  {:<13}  {}\n", c.position, c.length, state_text(c), what);
    if (text.size() >= flushed_at) {
      standard_output().write(text);
      text.clear();
    }
  }
  standard_output().write(text);
  return good;
}

outcome dump_ring(const std::string& base, const dump_options& o) {
  // A reader or writer that was between two of its steps has made them at the next attempt.
  constexpr int attempts_max = 3;
  auto copy = copy_ring(base);
  auto described = copy ? inspect::describe_ring(copy->header, copy->data) : fail(copy.error());
  for (int i = 1; i < attempts_max && described && !described->findings.empty(); ++i) {
    copy = copy_ring(base);
    described = copy ? inspect::describe_ring(copy->header, copy->data) : fail(copy.error());
  }
  if (!copy) {
    return complain(copy.error());
  }
  if (!described) {
    complain(fmt::format("{}: {}; it is no ring, or its service has not finished it", printable_text(base),
                         described.error().message()));
    return outcome::failed;
  }
  const inspect::ring& r = *described;
  const auto name = inspect::name_of(std::string_view(base).substr(base.rfind('/') + 1));
  std::string text = head_text(base, name, r);
  if (copy->moved) {
    text +=
        "  in use by both sides while it was copied: chunks may be torn; stop a side (kill -STOP) for an "
        "exact view\n";
  }
  for (const auto& finding : r.findings) {
    text += fmt::format("  wrong: {}\n", finding);
  }
  standard_output().write(text);
  const bool decoded = print_chunks(r, *copy, kind_of(name, o.as), o.shown_bytes);
  return copy->moved || (decoded && r.findings.empty()) ? outcome::done : outcome::failed;
}

/// The more serious of two; a file that can't be read outweighs one that is wrong.
outcome worse(outcome a, outcome b) { return static_cast<int>(a) < static_cast<int>(b) ? b : a; }

outcome dump(const dump_options& o) {
  outcome how = outcome::done;
  std::set<std::string> seen;  // a ring whose two files are named is printed once
  for (const auto& file : o.files) {
    const auto bases = rings_at(file);
    if (!bases) {
      how = worse(how, complain(bases.error()));
      continue;
    }
    for (const auto& base : *bases) {
      if (!seen.insert(base).second) {
        continue;
      }
      if (seen.size() > 1) {
        standard_output().write("\n");
      }
      how = worse(how, dump_ring(base, o));
    }
  }
  return how;
}

}  // namespace

void declare_dump(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand(
      "dump", "decode the files of libqb's rings: sizes, positions, and each chunk; only reads them");
  auto o = std::make_shared<dump_options>();
  command
      ->add_option(
          "FILE", o->files,
          "a ring's file, which ends in -header or -data, or a folder of them, such as /dev/shm/qb-*")
      ->required();
  declare_choice(*command, "--as", o->as, decodings,
                 "what the chunks contain; auto: CPG's messages of the kind that the file's name says");
  command->add_option("--bytes", o->shown_bytes, "bytes of each message's payload that are printed")
      ->transform(whole_number(0))
      ->capture_default_str();
  command->callback([&run, o] { run = [o] { return dump(*o); }; });
}

}  // namespace cpgring::cli
