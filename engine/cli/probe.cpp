// cpgring probe: reports what this machine offers to an engine, and what to change to get more.
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"

namespace cpgring::cli {

void declare_probe(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand(
      "probe", "report which wake-up backend and io_uring set-up work here, and how to get better ones");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "print JSON");
  command->callback([&run, as_json] {
    run = [as_json] {
      const auto report = engine::probe();
      if (*as_json) {
        const nlohmann::json found{{"wakeup_backend", to_string(report.backend)},
                                   {"ring_setup", report.ring_setup},
                                   {"findings", report.lines}};
        standard_output().write(without_raw_controls(found.dump(2)) + "\n");
        return outcome::done;
      }
      std::string text = fmt::format("wake-up backend  {}\nio_uring set-up  {}\n", to_string(report.backend),
                                     report.ring_setup);
      for (const auto& line : report.lines) {
        text += fmt::format("  {}\n", line);
      }
      standard_output().write(text);
      return outcome::done;
    };
  });
}

}  // namespace cpgring::cli
