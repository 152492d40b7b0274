"use strict";
/* Twelve sketches to start from. Shapes are in a square of 100: [kind, colour, numbers …].

   disk: x, y, width, height; box: the same from its corner, with rounded corners; path: x, y of each corner, closed and
   smooth; line: width, then x, y of each point. */

still.sketches = (() => {
  const SKY = "#aecdf0", MEADOW = "#bfe3b4", CANDY = "#f6c9d8", SAND = "#fbe6a6", WHITE = "#ffffff", NIGHT = "#26262b";
  return [
    { name: "a red mushroom", ground: SKY, shapes: [["box", "#efe2c6", 42, 52, 16, 30], ["path", "#d3302f", 20, 55, 26, 34, 50, 22, 74, 34, 80, 55, 50, 60], ["disk", "#ffffff", 40, 40, 9, 8], ["disk", "#ffffff", 60, 42, 8, 7]] },
    { name: "a blue mug", ground: WHITE, shapes: [["line", "#3568c9", 7, 62, 42, 78, 44, 78, 60, 60, 64], ["box", "#3a6fd6", 30, 32, 36, 42], ["disk", "#274f9e", 48, 33, 34, 9]] },
    { name: "a baby chick", ground: MEADOW, shapes: [["disk", "#f2c52e", 48, 62, 50, 34], ["disk", "#f5cc3c", 66, 38, 28, 28], ["path", "#e8862b", 78, 36, 92, 41, 78, 46], ["disk", "#222222", 70, 35, 4, 5]] },
    { name: "a green cactus", ground: SAND, shapes: [["box", "#3f9a4d", 42, 20, 16, 62], ["line", "#3f9a4d", 10, 44, 58, 26, 54, 26, 38], ["line", "#3f9a4d", 10, 56, 48, 74, 46, 74, 30]] },
    { name: "a green apple", ground: WHITE, shapes: [["path", "#7cb83a", 22, 52, 30, 32, 50, 40, 70, 32, 78, 52, 68, 78, 50, 74, 32, 78], ["line", "#7a5230", 4, 50, 40, 54, 24], ["path", "#3f9a4d", 56, 28, 70, 18, 74, 28, 62, 34]] },
    { name: "a fox", ground: SKY, shapes: [["path", "#e27a2c", 20, 22, 36, 32, 64, 32, 80, 22, 78, 56, 50, 82, 22, 56], ["path", "#ffffff", 30, 58, 50, 64, 70, 58, 50, 80], ["disk", "#222222", 38, 48, 6, 7], ["disk", "#222222", 62, 48, 6, 7], ["disk", "#222222", 50, 74, 8, 6]] },
    { name: "a purple teapot", ground: CANDY, shapes: [["line", "#7d4fb3", 8, 32, 60, 18, 54, 14, 40], ["line", "#7d4fb3", 6, 68, 46, 86, 50, 84, 66, 68, 68], ["disk", "#8b5cc4", 50, 58, 46, 40], ["disk", "#7d4fb3", 50, 38, 22, 8], ["disk", "#7d4fb3", 50, 32, 8, 8]] },
    { name: "a red car", ground: WHITE, shapes: [["path", "#c9302c", 10, 66, 14, 52, 32, 50, 42, 36, 66, 36, 74, 50, 90, 54, 90, 68], ["path", "#a8d0ee", 38, 50, 46, 40, 62, 40, 68, 50], ["disk", "#222222", 30, 68, 17, 17], ["disk", "#222222", 72, 68, 17, 17]] },
    { name: "a strawberry", ground: WHITE, shapes: [["path", "#d42f3c", 24, 40, 50, 30, 76, 40, 66, 70, 50, 86, 34, 70], ["path", "#3f9a4d", 30, 34, 50, 16, 70, 34, 50, 42]] },
    { name: "a full moon", ground: NIGHT, shapes: [["disk", "#f3df8e", 50, 50, 58, 58], ["disk", "#d9c26a", 40, 44, 12, 12], ["disk", "#d9c26a", 60, 60, 16, 14]] },
    { name: "a smiling face", ground: WHITE, shapes: [["disk", "#f7c932", 50, 50, 66, 66], ["disk", "#5b3a12", 38, 42, 7, 10], ["disk", "#5b3a12", 62, 42, 7, 10], ["line", "#5b3a12", 4, 32, 58, 50, 70, 68, 58]] },
    { name: "a rocket", ground: NIGHT, shapes: [["path", "#e8862b", 42, 78, 50, 96, 58, 78], ["path", "#c9302c", 32, 76, 40, 52, 60, 52, 68, 76], ["path", "#e9ebef", 38, 78, 38, 36, 50, 10, 62, 36, 62, 78], ["disk", "#7fb4e6", 50, 42, 12, 12]] },
  ];
})();
