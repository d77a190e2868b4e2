// examples/cli/interrupt.hpp: has the user pressed Ctrl-C?
#pragma once

namespace kinglet::cli {

/// From here on the first Ctrl-C only sets a flag, so that a command can end with what there is; a second one kills.
void catch_interrupts();
bool interrupted();
/// Forgets the first Ctrl-C (`chat` uses it to stop one answer).
void clear_interrupt();
/// Waits until stdin has bytes or is at its end. False as soon as Ctrl-C comes, or where it came before.
bool wait_for_stdin();

}  // namespace kinglet::cli
