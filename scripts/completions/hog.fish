# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hog_global_optspecs
    string join \n q/quiet h/help V/version
end

function __fish_hog_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hog_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hog_using_subcommand
    set -l cmd (__fish_hog_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hog -n "__fish_hog_needs_command" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_needs_command" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_needs_command" -f -a "engine" -d 'Log each line of files or of stdin as a record'
complete -c hog -n "__fish_hog_needs_command" -f -a "batchsend" -d 'Drain rings into a spool and ship it'
complete -c hog -n "__fish_hog_needs_command" -f -a "batchrecv" -d 'Receive what is shipped and store it'
complete -c hog -n "__fish_hog_needs_command" -f -a "local" -d 'Drain rings straight into an archive on this host'
complete -c hog -n "__fish_hog_needs_command" -f -a "cat" -d 'Print the records of archives and spools'
complete -c hog -n "__fish_hog_needs_command" -f -a "export" -d 'Write archives as Parquet, Arrow, CSV, JSON lines or `.log` files'
complete -c hog -n "__fish_hog_needs_command" -f -a "verify" -d 'Check archives and spools, byte by byte'
complete -c hog -n "__fish_hog_needs_command" -f -a "status" -d 'Say what a sender or receiver is doing'
complete -c hog -n "__fish_hog_needs_command" -f -a "faults" -d 'Say what went wrong, with what, since when and how often'
complete -c hog -n "__fish_hog_needs_command" -f -a "recover" -d 'Say what earlier runs left and a sender would do with it, or settle it by hand'
complete -c hog -n "__fish_hog_needs_command" -f -a "gc" -d 'Take away what nobody will come for'
complete -c hog -n "__fish_hog_needs_command" -f -a "demo" -d 'Ship a file on this machine, killing sender and receiver on the way, and compare'
complete -c hog -n "__fish_hog_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hog -n "__fish_hog_using_subcommand engine" -s g -l group -d 'The group to log to' -r
complete -c hog -n "__fish_hog_using_subcommand engine" -l name -d 'Name of the ring' -r
complete -c hog -n "__fish_hog_using_subcommand engine" -l ring-size -d 'Capacity of a new ring, a power of two' -r
complete -c hog -n "__fish_hog_using_subcommand engine" -l resume -d 'Whether to go on where an earlier run stopped' -r -f -a "auto\t'Go on where an earlier run stopped, if there was one'
require\t'Go on, or refuse to start (exit 4)'
off\t'Begin anew'"
complete -c hog -n "__fish_hog_using_subcommand engine" -s m -l store-dir -d 'Directory that keeps the places in files over a reboot' -r -F
complete -c hog -n "__fish_hog_using_subcommand engine" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand engine" -l shm-group -d 'Unix group, by name or number, that shares the rings' -r
complete -c hog -n "__fish_hog_using_subcommand engine" -l follow -d 'Go on at the end of each file until SIGTERM, however files are rotated'
complete -c hog -n "__fish_hog_using_subcommand engine" -l unreliable -d 'Drop lines instead of waiting when the ring is full'
complete -c hog -n "__fish_hog_using_subcommand engine" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand engine" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand engine" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand batchsend" -s g -l group -d 'A group to drain; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l to -d 'A destination; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -s d -l dir -d 'Directory of the spools' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -s m -l store-dir -d 'Directory of hogstat.db, and of the sockets of the original\'s programs' -r -F
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l batch-time -d 'How long a record may wait for others to leave with' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l batch-size -d 'How many bytes make a batch leave at once' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l compress -d 'Compression of what is shipped: zstd:LEVEL, lz4, none or auto' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l sync -d 'How often the spool is synced to disk' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l spool-max -d 'Bytes that the spool of a group may take' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l on-full -d 'What to do with records when the spool is full' -r -f -a "block\t'Let them wait, and then their producers'
drop-oldest\t'Give them the place of the oldest, which are lost to the destinations that lack them, counted and marked by a GAP'"
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l retain -d 'How long segments stay that were delivered' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l recover -d 'What to do with what earlier runs left' -r -f -a "auto\t'Recover what can be recovered, report the rest as lost, and go on'
require\t'Refuse to start, and touch nothing, while anything cannot be recovered (exit 4)'
off\t'Leave it for a later run, untouched'"
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l socket-dir -d 'Where programs of the original register, if not in the store' -r -F
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l shm-group -d 'Unix group, by name or number, that shares the rings' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l sync-with -d 'What syncs files' -r -f -a "thread\t'The thread that wants it, which calls fdatasync'
io-uring\t'The kernel\'s threads, through io_uring, if it lets us'"
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l max-restarts -d 'How often a worker may panic before it is given up' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l stall-timeout -d 'How long a worker may hang before it is replaced' -r
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l on-worker-failed -d 'What to do once a worker was given up' -r -f -a "degrade\t'Go on without it, say so, and end with status 5'
exit\t'End at once, in order, with status 5'"
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l no-recovery -d 'The same as --recover off'
complete -c hog -n "__fish_hog_using_subcommand batchsend" -l drain-and-exit -d 'End once all found at the start is acknowledged'
complete -c hog -n "__fish_hog_using_subcommand batchsend" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand batchsend" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand batchsend" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l listen -d 'Where to listen; port 0 takes any' -r
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -s d -l dir -d 'Where archives lie, with $GROUP and $DATE in it' -r
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -s m -l store-dir -d 'Directory of hogstat.db' -r -F
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l format -d 'What to store' -r -f -a "archive\t'The archive'
hobbes\t'The archive, and beside it .log files as the original\'s recorder writes them'"
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l series -d 'How .log files say in which order records came' -r -f -a "transactions\t'A series `transactions`: each with its time and its records'
log\t'A series `log`: records one by one, without times'"
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l sync-with -d 'What syncs files' -r -f -a "thread\t'The thread that wants it, which calls fdatasync'
io-uring\t'The kernel\'s threads, through io_uring, if it lets us'"
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l max-restarts -d 'How often a worker may panic before it is given up' -r
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l stall-timeout -d 'How long a worker may hang before it is replaced' -r
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -l on-worker-failed -d 'What to do once a worker was given up' -r -f -a "degrade\t'Go on without it, say so, and end with status 5'
exit\t'End at once, in order, with status 5'"
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -s c -l consolidate -d 'Go on with the last .log file'
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand batchrecv" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand local" -s g -l group -d 'A group to drain; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand local" -s d -l dir -d 'Where archives lie, with $GROUP and $DATE in it' -r
complete -c hog -n "__fish_hog_using_subcommand local" -s m -l store-dir -d 'Directory of hogstat.db, and of the sockets of the original\'s programs' -r -F
complete -c hog -n "__fish_hog_using_subcommand local" -l sync -d 'How often the archive is synced to disk' -r
complete -c hog -n "__fish_hog_using_subcommand local" -l format -d 'What to store' -r -f -a "archive\t'The archive'
hobbes\t'The archive, and beside it .log files as the original\'s recorder writes them'"
complete -c hog -n "__fish_hog_using_subcommand local" -l series -d 'How .log files say in which order records came' -r -f -a "transactions\t'A series `transactions`: each with its time and its records'
log\t'A series `log`: records one by one, without times'"
complete -c hog -n "__fish_hog_using_subcommand local" -l socket-dir -d 'Where programs of the original register, if not in the store' -r -F
complete -c hog -n "__fish_hog_using_subcommand local" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand local" -l shm-group -d 'Unix group, by name or number, that shares the rings' -r
complete -c hog -n "__fish_hog_using_subcommand local" -l sync-with -d 'What syncs files' -r -f -a "thread\t'The thread that wants it, which calls fdatasync'
io-uring\t'The kernel\'s threads, through io_uring, if it lets us'"
complete -c hog -n "__fish_hog_using_subcommand local" -l max-restarts -d 'How often a worker may panic before it is given up' -r
complete -c hog -n "__fish_hog_using_subcommand local" -l stall-timeout -d 'How long a worker may hang before it is replaced' -r
complete -c hog -n "__fish_hog_using_subcommand local" -l on-worker-failed -d 'What to do once a worker was given up' -r -f -a "degrade\t'Go on without it, say so, and end with status 5'
exit\t'End at once, in order, with status 5'"
complete -c hog -n "__fish_hog_using_subcommand local" -l accept-gaps -d 'Go on with rings that were drained before, elsewhere'
complete -c hog -n "__fish_hog_using_subcommand local" -l drain-and-exit -d 'End once all found at the start is in the archive, synced'
complete -c hog -n "__fish_hog_using_subcommand local" -s c -l consolidate -d 'Go on with the last .log file'
complete -c hog -n "__fish_hog_using_subcommand local" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand local" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand local" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand cat" -l format -d 'How to print records' -r -f -a "text\t'One line a record: time, group, statement, and the format string filled in'
json\t'One object a line: group, stream, position, time, statement, value, text'
raw\t'The lines that an engine logged, as they were; nothing of other records'"
complete -c hog -n "__fish_hog_using_subcommand cat" -l stream -d 'Only records of this stream; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand cat" -l source -d 'Only records of this source; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand cat" -l since -d 'Only records of this moment or later' -r
complete -c hog -n "__fish_hog_using_subcommand cat" -l until -d 'Only records before this moment' -r
complete -c hog -n "__fish_hog_using_subcommand cat" -l color -d 'Whether text has colours' -r -f -a "auto\t'On a terminal that shows them'
always\t'Wherever it goes'
never\t'Nowhere'"
complete -c hog -n "__fish_hog_using_subcommand cat" -s f -l follow -d 'Go on with what is appended'
complete -c hog -n "__fish_hog_using_subcommand cat" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand cat" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand export" -l format -d 'What to write' -r -f -a "parquet\t'A table a statement, in Parquet, compressed with zstd'
arrow\t'A table a statement, in files of Arrow\'s IPC (Feather version 2), compressed with zstd'
csv\t'A table a statement, a line a record, with a line of names first'
jsonl\t'A table a statement, an object a line, as `hog cat --format json` prints it'
hobbes\t'A `.log` file as the original\'s recorder writes it, which `hi` reads: a series a statement, and their order'"
complete -c hog -n "__fish_hog_using_subcommand export" -s o -l output -d 'Where to write it: a directory, or for hobbes a file' -r -F
complete -c hog -n "__fish_hog_using_subcommand export" -l partition -d 'Divide tables by when their records were logged' -r -f -a "none\t'Not at all'
date\t'By day, in UTC'
hour\t'By hour, in UTC'"
complete -c hog -n "__fish_hog_using_subcommand export" -l file-size -d 'Size at which files are finished, in bytes of records' -r
complete -c hog -n "__fish_hog_using_subcommand export" -l row-group -d 'Most that is gathered in memory before it is written' -r
complete -c hog -n "__fish_hog_using_subcommand export" -l series -d 'How a file for hobbes says in which order records came' -r -f -a "transactions\t'A series `transactions`: each with its time and its records'
log\t'A series `log`: records one by one, without times'"
complete -c hog -n "__fish_hog_using_subcommand export" -l group -d 'Only records of this group; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand export" -l stream -d 'Only records of this stream; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand export" -l source -d 'Only records of this source; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand export" -s f -l follow -d 'Go on with what is appended, until SIGTERM; for hobbes alone'
complete -c hog -n "__fish_hog_using_subcommand export" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand export" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand verify" -l format -d 'How to print the result' -r -f -a "text\t'For people'
json\t'One object a line: each stream, then the total'"
complete -c hog -n "__fish_hog_using_subcommand verify" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand verify" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand status" -s m -l store-dir -d 'The store that is asked about' -r -F
complete -c hog -n "__fish_hog_using_subcommand status" -l format -d 'How to print it' -r -f -a "text\t'For people'
json\t'One JSON object'"
complete -c hog -n "__fish_hog_using_subcommand status" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand status" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand status" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand faults" -s m -l store-dir -d 'The store that is asked about' -r -F
complete -c hog -n "__fish_hog_using_subcommand faults" -l since -d 'Only what went wrong at this moment or later' -r
complete -c hog -n "__fish_hog_using_subcommand faults" -l format -d 'How to print them' -r -f -a "text\t'For people, a line each'
json\t'A JSON object each'"
complete -c hog -n "__fish_hog_using_subcommand faults" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand faults" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand faults" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand recover" -l abandon -d 'Give up a destination (HOST:PORT) or a ring (its uuid); may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand recover" -l forget -d 'Forget what a destination has acknowledged; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand recover" -l new-identity -d 'Make the spool in this directory another sender' -r -F
complete -c hog -n "__fish_hog_using_subcommand recover" -s m -l store-dir -d 'The store of the sender' -r -F
complete -c hog -n "__fish_hog_using_subcommand recover" -l format -d 'How to print what would be done' -r -f -a "text\t'For people'
json\t'One JSON object a group'"
complete -c hog -n "__fish_hog_using_subcommand recover" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand recover" -l dry-run -d 'Say what a sender would do with what earlier runs left'
complete -c hog -n "__fish_hog_using_subcommand recover" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand recover" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand gc" -s g -l group -d 'A group to look at; may be repeated' -r
complete -c hog -n "__fish_hog_using_subcommand gc" -l older-than -d 'Pass over what is younger than this' -r
complete -c hog -n "__fish_hog_using_subcommand gc" -s m -l store-dir -d 'A store of an engine or a sender; may be repeated' -r -F
complete -c hog -n "__fish_hog_using_subcommand gc" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand gc" -l dry-run -d 'Say what would be done, and do nothing'
complete -c hog -n "__fish_hog_using_subcommand gc" -l force -d 'Also what somebody may still come for'
complete -c hog -n "__fish_hog_using_subcommand gc" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand gc" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand demo" -l shm-dir -d 'Where rings are; it must be tmpfs' -r -F
complete -c hog -n "__fish_hog_using_subcommand demo" -s q -l quiet -d 'Say less: -q only warnings, -qq only errors'
complete -c hog -n "__fish_hog_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hog -n "__fish_hog_using_subcommand demo" -s V -l version -d 'Print version'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "engine" -d 'Log each line of files or of stdin as a record'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "batchsend" -d 'Drain rings into a spool and ship it'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "batchrecv" -d 'Receive what is shipped and store it'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "local" -d 'Drain rings straight into an archive on this host'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "cat" -d 'Print the records of archives and spools'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "export" -d 'Write archives as Parquet, Arrow, CSV, JSON lines or `.log` files'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "verify" -d 'Check archives and spools, byte by byte'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "status" -d 'Say what a sender or receiver is doing'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "faults" -d 'Say what went wrong, with what, since when and how often'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "recover" -d 'Say what earlier runs left and a sender would do with it, or settle it by hand'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "gc" -d 'Take away what nobody will come for'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "demo" -d 'Ship a file on this machine, killing sender and receiver on the way, and compare'
complete -c hog -n "__fish_hog_using_subcommand help; and not __fish_seen_subcommand_from engine batchsend batchrecv local cat export verify status faults recover gc demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
