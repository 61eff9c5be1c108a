// Moments in the reader's own zone; without this script they stand in UTC.
const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.getTime())) continue;
  time.title = `${time.textContent} (shown in ${zone})`;
  time.textContent = form.format(moment);
}
