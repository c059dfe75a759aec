# SPDX-License-Identifier: GPL-2.0-only
# fish completion of netmon

# LETTER:NAME:ARGUMENT:WORDS:HELP
set -l options \
@options@

# NAME:HELP
set -g __netmon_columns \
@columns@

# The typed argument, also after '='.
function __netmon_argument
    commandline -ct | string replace -r -- '^--[a-z-]+=' ''
end

# Offers the words for the last element of a list.
function __netmon_list
    printf '%s\n' (string match -r -- '^(?:.*,)?[+!]?' (__netmon_argument))$argv
end

# The columns with their descriptions; the argument is put after each name.
function __netmon_columns
    string replace : $argv[1]\t -- $__netmon_columns
end

# Completes the command after '--'.
function __netmon_command
    set -l words (commandline -opc)
    set -e words[1..(contains -i -- -- $words)]
    complete -C (string join -- ' ' (string escape -- $words) (commandline -ct))
end

complete -c netmon -f
complete -c netmon -n 'contains -- -- (commandline -opc)' -a '(__netmon_command)'

for line in $options
    set -l fields (string split -m 4 : -- $line)
    set -l described -c netmon -l $fields[2] -d $fields[5]
    test -z $fields[1]; or set -a described -s $fields[1]
    switch $fields[4]:$fields[2]:$fields[3]
        case '::' ':*:'
            complete $described
        case ':output:*'
            complete $described -x -a '(__netmon_list all (__netmon_columns ""))'
        case ':sort:*'
            complete $described -x -a '(__netmon_list (__netmon_columns "") (__netmon_columns :asc) (__netmon_columns :desc))'
        case ':pid:*'
            complete $described -x -a '(__netmon_list (__fish_complete_pids))'
        case ':user:*'
            complete $described -x -a '(__netmon_list (__fish_complete_users))'
        case ':iface:*'
            complete $described -x -a '(__netmon_list (__fish_print_interfaces))'
        case ':*:GROUP'
            complete $described -x -a '(__fish_complete_groups)'
        case ':*:FILE'
            complete $described -r -F
        case ':*:DIR'
            complete $described -x -a '(__fish_complete_directories (__netmon_argument))'
        case ':*:[DIR]'
            complete $described -a '(__fish_complete_directories (__netmon_argument))'
            complete -c netmon -n "test (commandline -opc)[-1] = --$fields[2]" -a '(__fish_complete_directories (__netmon_argument))'
        case ':*'
            complete $described -x
        case '*'
            complete $described -x -a $fields[4]
    end
end
