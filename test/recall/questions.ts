/**
 * Questions about the real turns, written by hand, and what the right turn says. Where several
 * runs did the same, any of them is right.
 *
 * @module
 */

/** A question with a known answer. */
export interface KnownQuestion {
  readonly text: string
  /** What the text of a right turn matches. */
  readonly answer: RegExp
}

export const QUESTIONS: readonly KnownQuestion[] = [
  {
    text: 'Which user tried to log in over telnet, and with which password?',
    answer: /user named csaw trying to login with password|hockeyinjune-virtual-machine login/,
  },
  {
    text: 'What flag was on the hard drive image?',
    answer: /submit flag\{b3l0w|image of a harddrive/,
  },
  { text: 'How did we decode the base64 sequence?', answer: /seems to be base64 sequence/ },
  {
    text: 'the Evil Corp message about people who were enslaved and freed',
    answer: /^Evil Corp, we have delivered/,
  },
  {
    text: 'converting the first file from binary to ascii',
    answer: /convert it from binary to ascii/,
  },
  {
    text: 'How long must the string be that the rock binary checks?',
    answer: /checks the length of the string which must be 0x1e/,
  },
  {
    text: 'script that undoes the xor modifications',
    answer: /I will undo the second modification|undo the second/,
  },
  {
    text: 'Why was the flag with backslashes refused?',
    answer: /backslashes are not interpreted correctly/,
  },
  {
    text: 'Which function compares strings character by character?',
    answer: /compares two strings character by character/,
  },
  { text: 'a system call that runs cat flag.txt', answer: /runs the command `cat flag\.txt`/ },
  {
    text: 'stack buffer overflow through gets',
    answer: /`gets` call offers|reads into a stack buffer using `gets`/,
  },
  {
    text: 'chr() was called with a float in place of an integer',
    answer:
      /calling the function chr\(\) on the number we got which is fl|integer argument expected, got float|'float' object cannot be interpreted/,
  },
  { text: 'the ciphertext is a hex dump, not raw bytes', answer: /written using an hex dump/ },
  {
    text: 'forgotten import of binascii',
    answer: /missed an import of binascii|undefined name 'binascii'/,
  },
  {
    text: 'infiltrated an organised crime group as a secret agent',
    answer: /you have infiltrated the group/,
  },
  {
    text: 'perl open() executes a command when the path ends with a pipe',
    answer: /UNLESS a .\|. character is added/,
  },
  { text: 'What was the flag of the Perl website?', answer: /submit FLAG\{p3rl_6|FLAG\{p3rl_6/ },
  {
    text: 'installing the package with its dev extras',
    answer: /install the package locally with the \[dev\] extras|pip install -e ['".]*\.?\[dev\]/,
  },
  { text: 'Where is the colon missing?', answer: /missing colon|missing a colon|colon is missing/ },
  {
    text: 'difference of two numbers must be an absolute value',
    answer: /wrapped in an absolute value call/,
  },
  {
    text: 'integer division truncates the time delta',
    answer:
      /integer division.{0,80}truncat|truncat.{0,80}integer division|rounding.*integer division/s,
  },
  {
    text: "the people's champ quote",
    answer: /Quote from people's champ|Never forget the people's champ/,
  },
  {
    text: 'protocol statistics of the packet capture',
    answer: /print some statisics about the pcap|Protocol Hierarchy Statistics/,
  },
  {
    text: 'The binary timed out; decompile it',
    answer: /The execution timed out, maybe the binary/,
  },
]
